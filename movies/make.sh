#!/bin/sh
# Makes the demo library beside this script: two short movies in blocks of 2 s, one of them in two
# containers, each with its index. Needs ffmpeg with libx264 and the DejaVu fonts; the same versions
# make the same bytes.
#
# The strip at the top of the picture carries the frame number as 16 squares, lowest bit left, so
# that a test can read off which frames a viewer was really shown.
set -eu
cd "$(dirname "$0")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

size='s=640x360:r=25'
exact='-fflags +bitexact -map_metadata -1'
font=${FONT:-/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf}

# movie NAME SECONDS PICTURE SOUND: one encode, so that picture and sound go on over the joints. The
# encoder puts 1024 samples of silence before the sound; without making room for them all of the
# picture would come 21 ms late.
movie() {
    # shellcheck disable=SC2086 # $exact is several words
    ffmpeg -nostdin -v error -y -filter_complex_threads 1 -filter_complex "
        $3[picture];
        color=black:s=640x40:r=25,format=yuv420p,
            geq=lum='255*mod(floor(N/pow(2,floor(X/40))),2)':cb=128:cr=128[strip];
        [picture][strip]overlay=0:0:format=yuv420[video];
        $4,asetpts=PTS+1024[audio]" -map '[video]' -map '[audio]' -t "$2" \
        -c:v libx264 -preset slow -threads:v 1 -crf 32 -pix_fmt yuv420p -bf 0 \
        -sc_threshold 0 -force_key_frames 'expr:gte(t,n_forced*2)' \
        -c:a aac -b:a 48k -ac 1 -flags:v +bitexact -flags:a +bitexact $exact "$work/$1.mkv"
}

# blocks NAME EXTENSION DIRECTORY: cuts a movie at its key frames and writes the index.
blocks() {
    rm -rf "$3"
    mkdir "$3"
    # shellcheck disable=SC2086
    ffmpeg -nostdin -v error -y -i "$work/$1.mkv" -map 0 -c copy $exact \
        -f segment -segment_time 2 -reset_timestamps 1 -segment_format_options fflags=+bitexact \
        -segment_list "$work/list.csv" -segment_list_type csv "$3/$1_%05d.$2"
    # Each line is a file, when it starts and when it ends in the movie.
    awk -F, 'BEGIN { print "#EXTM3U" } { printf "#EXTINF:%.6f,\n%s\n", $3 - $2, $1 }' \
        "$work/list.csv" >"$3/$1.m3u8"
}

time="drawtext=fontfile=$font:text='%{pts\\:hms}':fontsize=56:fontcolor=white:box=1:boxcolor=black:
    boxborderw=12:x=(w-tw)/2"

movie clock 30 "testsrc2=$size,$time:y=270" 'sine=440:beep_factor=4:r=48000'
movie bars 20 "
    smptehdbars=$size,$time:y=150[bars];
    color=white:s=60x60:r=25[ball];
    [bars][ball]overlay=x='mod(4*n,580)':y=60" 'sine=660:r=48000'
blocks clock mkv clock
blocks bars mkv bars
blocks bars mp4 bars-mp4
