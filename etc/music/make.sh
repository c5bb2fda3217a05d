#!/bin/sh
# Makes the demo songs beside this script: two tunes of ten seconds, each under 200 kB. Needs ffmpeg
# with libmp3lame and libvorbis; the same versions make the same bytes.
set -eu
cd "$(dirname "$0")"

exact='-fflags +bitexact -flags:a +bitexact -map_metadata -1'

# tune FILE NOTE TEMPO CODEC...: sines that fade, up the notes of a chord and down again; NOTE is
# the pitch of the lowest in Hz, TEMPO how many notes a second.
tune() {
    file=$1 note=$2 tempo=$3
    shift 3
    step="abs(mod(floor(t*$tempo),8)-4)"
    pitch="$note*pow(2,(4*$step-0.5*gte($step,2)-0.5*gte($step,4))/12)"
    fade="exp(-3*mod(t*$tempo,1))"
    # shellcheck disable=SC2086 # $exact is several words
    ffmpeg -nostdin -v error -y -f lavfi -i \
        "aevalsrc='0.3*$fade*(sin(2*PI*t*$pitch)+0.4*sin(4*PI*t*$pitch))':s=44100:d=10" \
        "$@" $exact "$file"
}

tune up_and_down.mp3 220 4 -c:a libmp3lame -b:a 128k
tune walking.ogg 165 3 -c:a libvorbis -q:a 3
