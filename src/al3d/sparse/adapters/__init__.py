"""Other sparse-convolution libraries behind al3d's networks, each in its own module and imported only when asked for."""
