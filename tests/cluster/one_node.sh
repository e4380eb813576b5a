#!/usr/bin/env bash
# A SLURM cluster of this machine alone, with accounting and two partitions: `low` (the default; its jobs are requeued for those of `high`) and `high`.
# For a throw-away container: needs root, writes /etc/slurm, and uses Debian's packages slurm-wlm, slurmdbd, munge and mariadb-server.
# one_node.sh up FOLDER | one_node.sh down FOLDER        exit code 3: it cannot be brought up here, the reason is printed
set -u
verb=${1:-} folder=${2:-} host=$(hostname -s) mark='# written by al3d: one_node.sh'
cannot() { printf '%s\n' "$*"; exit 3; }
alive() { [ -f "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }
until_true() { for _ in $(seq 150); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done; cannot "did not answer within 30 s: $*; see $folder/log"; }
answers() { munge -n </dev/null | unmunge; }
ready() { sinfo -h -o %T | grep -qE 'idle|mix|alloc'; }

[ -n "$folder" ] || cannot "usage: one_node.sh up|down FOLDER"
if [ "$verb" = down ]; then
    for name in slurmctld slurmd slurmdbd my/my; do alive "$folder/$name.pid" && kill "$(cat "$folder/$name.pid")"; done
    exit 0
fi
[ "$verb" = up ] || cannot "usage: one_node.sh up|down FOLDER"
[ "$(id -u)" = 0 ] || cannot "a cluster of one node is brought up by root"
for name in sbatch slurmctld slurmd slurmdbd munged mariadbd; do
    command -v "$name" >/dev/null || cannot "$name is not installed (Debian: apt-get install slurm-wlm slurmdbd munge mariadb-server)"
done
if [ -e /etc/slurm/slurm.conf ] && ! grep -qF "$mark" /etc/slurm/slurm.conf; then
    cannot "this machine has a SLURM configuration of its own, /etc/slurm/slurm.conf: the test brings up its own cluster, in a container"
fi

mkdir -p "$folder"/{state,spool,log,my} /run/munge /run/mysqld /etc/slurm || exit 1
chmod 755 /run/munge
chown munge: /run/munge
chown -R mysql: "$folder/my" /run/mysqld
chmod o+x "$folder"
if [ ! -f /etc/munge/munge.key ]; then
    head -c 1024 /dev/urandom >/etc/munge/munge.key
    chown munge: /etc/munge/munge.key
    chmod 400 /etc/munge/munge.key
fi
answers >/dev/null 2>&1 || setpriv --reuid=munge --regid=munge --clear-groups munged
until_true answers

# Accounting: without it nobody learns that a job was killed, and a sweep waits for it for ever.
[ -d "$folder/my/mysql" ] || mariadb-install-db --user=mysql --datadir="$folder/my" --skip-test-db >"$folder/log/my.log" 2>&1
if ! alive "$folder/my/my.pid"; then
    setsid mariadbd --no-defaults --user=mysql --datadir="$folder/my" --socket="$folder/my/my.sock" --skip-networking --pid-file="$folder/my/my.pid" \
        --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 >>"$folder/log/my.log" 2>&1 </dev/null &
fi
sql() { mysql --socket="$folder/my/my.sock" -e "$1"; }
until_true sql "select 1"
sql "create database if not exists slurm; create user if not exists 'slurm'@'localhost' identified by 'slurm'; grant all on slurm.* to 'slurm'@'localhost'"

cat >/etc/slurm/slurmdbd.conf <<CONF
$mark
AuthType=auth/munge
DbdHost=$host
DbdAddr=127.0.0.1
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
PidFile=$folder/slurmdbd.pid
LogFile=$folder/log/slurmdbd.log
CONF
chmod 600 /etc/slurm/slurmdbd.conf
cat >/etc/slurm/slurm.conf <<CONF
$mark
ClusterName=al3d
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=2
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
ReturnToService=2
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
JobAcctGatherType=jobacct_gather/none
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(($(awk '/MemTotal/{print $2}' /proc/meminfo) / 1024 - 1024)) State=UNKNOWN
PartitionName=low Nodes=$host Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=high Nodes=$host Default=NO MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
CONF
# The database's address goes with its socket.
export MYSQL_UNIX_PORT=$folder/my/my.sock
alive "$folder/slurmdbd.pid" || slurmdbd
until_true sacctmgr -n -i list cluster
sacctmgr -i add cluster al3d >/dev/null 2>&1
alive "$folder/slurmctld.pid" || slurmctld
alive "$folder/slurmd.pid" || slurmd
until_true ready
scontrol update "NodeName=$host" State=RESUME 2>/dev/null
until_true ready
sinfo
