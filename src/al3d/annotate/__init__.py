"""The page on which a person labels a run's queries: what is asked, drawn and pressed (`sitting`), and a browser's view of it (`server`)."""
