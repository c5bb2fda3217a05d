#!/bin/bash
# Runs inside a whole systemd, as root, and drives the units. What it saw goes to /out, a file a
# finding, for booted.rs to judge; it judges nothing itself. Every wait is bounded.

exec 2>/out/probe.stderr
set -x

# found NAME COMMAND...: keeps a command's output and exit status.
found() {
    local name=$1
    shift
    "$@" >"/out/$name" 2>&1
    local status=$?
    echo $status >"/out/$name.status"
    return $status
}

# shown UNIT PROPERTY
shown() {
    systemctl show "$1" -p "$2" --value
}

# until_true COMMAND...: looks again and again for at most 8 s.
until_true() {
    local i
    for ((i = 0; i < 160; i++)); do
        "$@" && return 0
        sleep 0.05
    done
    return 1
}

# Whether a unit runs under another pid than the one before. Both are asked for at once: between
# two questions the unit may have failed.
runs_anew() {
    local now
    now=$(systemctl show "$1" -p ActiveState,MainPID)
    [[ $now == *ActiveState=active* && $now != *MainPID=0* && $now != *MainPID=$2* ]]
}

# Whether the journal of a unit has a line.
journal_has() {
    journalctl --quiet --sync
    journalctl --quiet -o cat -u "$1" | grep -q -e "$2"
}

# Whether the client has whole blocks: those that are not have another name.
stores_blocks() {
    [[ -n $(find /var/lib/vidstreamd/client/ -name '*.mkv' -size +9k) ]]
}

get() {
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return
    printf 'GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3
    timeout 5 cat <&3
    exec 3>&-
}

# The last step, also when nothing of what follows the start makes sense.
finish() {
    journalctl --quiet --sync
    found journal journalctl --quiet --no-pager -o short-precise -u vidstreamd
    found journal_of_all journalctl --quiet --no-pager -o short-precise -n 400
    touch /out/finished
    systemctl --no-block --force poweroff
    exit
}

server=vidstreamd.service

found start systemctl start $server || finish
found started systemctl show $server -p ActiveState,MainPID,NRestarts
found healthz get 16080 /healthz
first=$(shown $server MainPID)

found reload systemctl reload $server
found reload_line until_true journal_has $server '^reload:'
cp /etc/vidstreamd/server.toml /run/good.toml
echo 'bogus = 1' >/etc/vidstreamd/server.toml
found bad_reload systemctl reload $server
found after_bad_reload systemctl show $server -p ActiveState,MainPID,NRestarts
cp /run/good.toml /etc/vidstreamd/server.toml

kill -KILL "$first"
found restarted until_true runs_anew $server "$first" || finish
second=$(shown $server MainPID)
found after_kill systemctl show $server -p ActiveState,MainPID,NRestarts

kill -STOP "$second"
found watched until_true runs_anew $server "$second" || finish
found after_watchdog systemctl show $server -p ActiveState,MainPID,NRestarts
found watchdog_line until_true journal_has $server 'Watchdog timeout'

client=vidstreamd@client.service
found client systemctl start $client
found client_started systemctl show $client -p ActiveState,SubState
found directories stat -L -c '%n %a' /var/lib/vidstreamd/client /run/vidstreamd/client
found stored until_true stores_blocks
found client_stop systemctl stop $client

# Longer than the pause before a restart, were there one.
found broken systemctl start vidstreamd@broken.service
sleep 1.5
found broken_shown systemctl show vidstreamd@broken.service \
    -p ActiveState,Result,NRestarts,ExecMainStatus

found stop systemctl stop $server
found stopped systemctl show $server -p ActiveState,Result
finish
