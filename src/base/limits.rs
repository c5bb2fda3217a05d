//! Every bound of the program in one place: what does not fit is refused with a reason. The tidy
//! test looks for bounds that were written elsewhere.

mod mesh;

use core::time::Duration;

pub use mesh::*;

use crate::base::time::Wall;

/// Connections of every kind at once; the descriptor limit may lower it.
pub const CONNS_MAX: usize = 60_000;
/// Blobs (mapped blocks) known at once.
pub const BLOBS_MAX: usize = 16_384;
/// Channels in one configuration.
pub const CHANNELS_MAX: usize = 256;
/// Channels that a three-byte command can name.
pub const TV_CHANNELS_MAX: usize = 10;
/// Movies in one library.
pub const MOVIES_MAX: usize = 10_000;
/// Blocks in one movie.
pub const BLOCKS_MAX: usize = 1_000_000;
/// Entries in one playlist.
pub const PLAYLIST_MAX: usize = 4_096;
/// Blocks in one library, all its movies together.
pub const LIBRARY_BLOCKS_MAX: usize = 10_000_000;
/// Directories inside one library.
pub const LIBRARY_FOLDERS_MAX: usize = 20_000;
/// File names beside the blocks of one directory that are held until its indexes are read.
pub const FOLDER_OTHERS_MAX: usize = 4_096;
/// Bytes in one block; a larger file is reported as a stranger.
pub const BLOCK_BYTES_MAX: u64 = 256 << 20;
/// The shortest and the longest a block may last.
pub const BLOCK_LASTS_MIN: Duration = Duration::from_millis(100);
/// See [`BLOCK_LASTS_MIN`].
pub const BLOCK_LASTS_MAX: Duration = Duration::from_secs(60);
/// Bytes in an index file.
pub const INDEX_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a configuration file that one message quotes.
pub const CONFIG_QUOTED_BYTES_MAX: usize = 80;
/// Words longer than this are not compared: nobody mistypes them, and comparing is quadratic.
pub const CONFIG_COMPARED_BYTES_MAX: usize = 64;
/// Bytes in a configuration file.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// Faults of one configuration file that are named one by one; the rest are counted.
pub const CONFIG_PROBLEMS_MAX: usize = 100;
/// Bytes in the name of a channel.
pub const CHANNEL_NAME_BYTES_MAX: usize = 64;
/// Bytes in the name of a movie: with `_00000.webm` it still is a file name.
pub const MOVIE_NAME_BYTES_MAX: usize = 240;
/// Entries in `callback_allow`.
pub const CALLBACK_ALLOW_MAX: usize = 64;
/// No epoch lies at or after this: 2200-01-01T00:00:00Z, short of what nanoseconds can count.
pub const EPOCH_END: Wall = Wall(7_258_118_400_000_000_000);
/// Bytes in a host name (RFC 1035, 2.3.4).
pub const HOST_BYTES_MAX: usize = 253;
/// Bytes in the path of a Unix socket (`sun_path` without its end).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Blocks that a store may be told to keep.
pub const KEEP_BLOCKS_MAX: usize = 1_000_000;
/// Blocks that a channel keeps behind the one on the air.
pub const WINDOW_BLOCKS_MAX: usize = 16;
/// Bytes in a block's file name; the limit of every Linux file system.
pub const FILE_NAME_BYTES_MAX: usize = 255;
/// Digits in a block's number; the number then fits in 32 bits.
pub const BLOCK_NUMBER_DIGITS_MAX: usize = 9;
/// Bytes read of one block's header to find its duration.
pub const HEADER_BYTES_MAX: usize = 64 << 10;
/// Reads of one block's header.
pub const HEADER_READS_MAX: u32 = 64;
/// Bytes of a Matroska Info element that are looked at.
pub const MKV_INFO_BYTES_MAX: usize = 4_096;
/// And of its Tracks element, where the first track of pictures is.
pub const MKV_TRACKS_BYTES_MAX: usize = 1_024;
/// The longest head of a Matroska element: a 4-byte identifier and an 8-byte size.
pub const MKV_HEAD_BYTES_MAX: usize = 12;
/// Blocks that a channel has open before their time.
pub const BLOCKS_AHEAD_MAX: usize = 64;
/// Bytes read from the start of a block to tell what it is.
pub const SNIFF_BYTES_MAX: usize = 512;
/// Bytes of foreign text that a log line or a terminal is shown.
pub const SHOWN_BYTES_MAX: usize = 256;
/// Bytes of one log line.
pub const LOG_LINE_BYTES_MAX: usize = 2_048;
/// Log lines that wait while syslog or the standard error output takes none; more are counted.
pub const LOG_WAITING_MAX: usize = 256;
/// Between two tries to bring out log lines that wait: at least, then doubled, at most.
pub const LOG_RETRY_MIN: Duration = Duration::from_millis(10);
/// See [`LOG_RETRY_MIN`].
pub const LOG_RETRY_MAX: Duration = Duration::from_secs(1);
/// The last log lines of the process may wait this long for their way out.
pub const LOG_FINISH_MAX: Duration = Duration::from_millis(200);
/// Changes of state that wait while the service manager takes none.
pub const NOTIFY_WAITING_MAX: usize = 4;
/// Events whose words wait for the log in one turn.
pub const EVENTS_MAX: usize = 65_536;
/// Timers in the wheel.
pub const TIMERS_MAX: usize = 4_000_000;

/// Findings of one kind that a library scan names one by one; the rest are counted.
pub const FINDINGS_SHOWN_MAX: usize = 10;

/// Bytes read from one stream before the next has its turn.
pub const READ_BUDGET_BYTES: usize = 256 << 10;
/// Bytes written to one stream before the next has its turn.
pub const WRITE_BUDGET_BYTES: usize = 1 << 20;
/// Bytes of blocks that are hashed in one turn of the loop: a millisecond or two.
pub const HASH_BUDGET_BYTES: u64 = 1 << 20;
/// Bytes that the kernel holds unsent for one stream: "written" stays close to "taken".
pub const NOTSENT_BYTES_MAX: u32 = 128 << 10;
/// Sockets accepted from one listener in one turn.
pub const ACCEPT_BUDGET: usize = 256;
/// Payloads waiting on one stream.
pub const QUEUE_PAYLOADS_MAX: usize = 64;
/// Parts of one gathered write.
pub const WRITE_PARTS_MAX: usize = 16;
/// Parts of one gathered write to a stream: outputs for players consist of some hundreds.
pub const STREAM_PARTS_MAX: usize = 64;
/// How long a listener rests when descriptors have run out.
pub const ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// A lasting want of descriptors is said again after this.
pub const SAY_AGAIN: Duration = Duration::from_secs(60);
/// Descriptors kept back from connections for blocks, logs and listeners.
pub const RESERVED_DESCRIPTORS: usize = 24;
/// Symbolic links followed on one path, as many as the kernel follows.
pub const LINKS_MAX: usize = 40;
/// Descriptors that are made use of, however many the system would lend.
pub const DESCRIPTORS_MAX: usize = 1_000_000;
/// How long a graceful stop may take.
pub const DRAIN_MAX: Duration = Duration::from_secs(3);

/// A tv command is three bytes; what follows them is read and forgotten up to this.
pub const TV_COMMAND_EXTRA_BYTES_MAX: u64 = 1 << 20;
/// Time for a tv command to arrive.
pub const TV_COMMAND_PATIENCE: Duration = Duration::from_secs(3);
/// The port of tv commands where a source names none.
pub const TV_PORT: u16 = 6060;
/// The lowest port that is dialled back: below it are the services of the system.
pub const TV_CALLBACK_PORT_MIN: u16 = 1024;
/// The longest pause between `10` and the first block that a configuration may ask for.
pub const TV_JOIN_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Time for the sender of an answered command to hang up.
pub const TV_LINGER: Duration = Duration::from_secs(1);
/// Callbacks being dialled at once.
pub const TV_DIALS_MAX: usize = 64;
/// Of these, for clients that have not yet taken a block or that hold a strike.
pub const TV_DIALS_UNPROVEN_MAX: usize = 32;
/// A refused callback is tried again for this long (the original binds its port late).
pub const TV_GRACE: Duration = Duration::from_secs(2);
/// Between two tries of a refused callback, at least and at most.
pub const TV_RETRY_MIN: Duration = Duration::from_millis(20);
/// See [`TV_RETRY_MIN`].
pub const TV_RETRY_MAX: Duration = Duration::from_millis(50);
/// Failures in a row that remove a client.
pub const TV_STRIKES_MAX: u8 = 2;
/// Bytes of a list of a channel's clients that are read.
pub const TV_LIST_BYTES_MAX: usize = 64 << 10;
/// Connections that a tv client takes from its server at once.
pub const TV_CALLBACKS_MAX: usize = 8;
/// Periods without a block after which a tv client joins again.
pub const TV_SILENT_PERIODS: u32 = 3;
/// A tv client's first and longest wait before it joins again.
pub const TV_REJOIN_MIN: Duration = Duration::from_millis(200);
/// See [`TV_REJOIN_MIN`].
pub const TV_REJOIN_MAX: Duration = Duration::from_secs(10);

/// Bytes in an HTTP request head.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 << 10;
/// Header lines in an HTTP request head.
pub const HTTP_HEADERS_MAX: usize = 64;
/// Bytes in an HTTP request target.
pub const HTTP_TARGET_BYTES_MAX: usize = 8 << 10;
/// Time for a request head to arrive, first byte to last.
pub const HTTP_HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// Time that a kept connection may be idle.
pub const HTTP_IDLE_MAX: Duration = Duration::from_secs(30);
/// Time without a byte taken, after which a reader is closed.
pub const HTTP_STALL_MAX: Duration = Duration::from_secs(30);
/// Time for the reader of a last answer to hang up.
pub const HTTP_LINGER_MAX: Duration = Duration::from_secs(2);
/// Bytes that are read and forgotten after the last request of a connection.
pub const HTTP_LINGER_BYTES_MAX: u64 = 1 << 20;
/// How far ahead the programme guide tells.
pub const GUIDE_AHEAD: Duration = Duration::from_secs(48 * 3600);
/// Programmes in the guide, of all channels together; they share them evenly.
pub const GUIDE_PROGRAMMES_MAX: usize = 10_000;
/// Blocks that a configuration may let the reader of an endless answer have waiting.
pub const HTTP_LAG_BLOCKS_MAX: usize = 32;
/// Time that an endless answer waits for the next block.
pub const HTTP_STREAM_IDLE_MAX: Duration = Duration::from_secs(150);
/// Bytes of what stands before the names of segments in playlists.
pub const SEGMENT_BASE_BYTES_MAX: usize = 256;
/// Segments in an HLS playlist: what players need at the least, twice.
pub const HLS_SEGMENTS: u64 = 6;
/// And where blocks are shorter than a second.
pub const HLS_SHORT_SEGMENTS: u64 = 12;
/// Blocks ahead of the newest that the reader of a playlist may wait for.
pub const HLS_AHEAD_MAX: u64 = 2;
/// Between two movies that are looked at for what players can have of them.
pub const EDGE_PROBE_GAP: Duration = Duration::from_millis(2);
/// Blocks of which it was said that players cannot have them; of more nothing is said.
pub const EDGE_REFUSED_TOLD_MAX: usize = 1_024;

/// Bytes in a control command.
pub const CONTROL_LINE_BYTES_MAX: usize = 1_024;
/// Control connections at once.
pub const CONTROL_CONNS_MAX: usize = 32;
/// Time for a control command to arrive.
pub const CONTROL_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a control answer that are worded before others have their turn.
pub const CONTROL_PIECE_BYTES_MAX: usize = 32 << 10;
/// Control answers with more than one piece at once.
pub const CONTROL_LONG_ANSWERS_MAX: usize = 4;
/// Levels of a tree that are drawn by indentation; deeper ones are told by a number.
pub const CONTROL_INDENT_LEVELS_MAX: usize = 40;
/// Nodes that a question fits which the answer names; the rest are counted.
pub const CONTROL_NODES_SHOWN_MAX: usize = 20;

/// Bytes of one message of the jukebox; what has no end by then is closed.
pub const JUKEBOX_FRAME_BYTES_MAX: usize = 64 << 10;
/// Bytes of requests that wait for their answers before a listener's reading is held.
pub const JUKEBOX_AHEAD_BYTES_MAX: usize = 4_096;
/// Between two payloads to one listener, so that each of its reads finds one: 1 ms, and one more
/// because a turn of the loop has one time only.
pub const JUKEBOX_GAP: Duration = Duration::from_millis(2);
/// A listener that has asked for nothing for so long makes room for another.
pub const JUKEBOX_IDLE_MIN: Duration = Duration::from_secs(60);
/// And after so long its connection is closed.
pub const JUKEBOX_IDLE_MAX: Duration = Duration::from_secs(86_400);
/// The shortest and the longest `stall_max`.
pub const JUKEBOX_STALL_MIN: Duration = Duration::from_secs(1);
/// See [`JUKEBOX_STALL_MIN`].
pub const JUKEBOX_STALL_MAX: Duration = Duration::from_secs(3_600);
/// Songs of one folder that are looked at.
pub const JUKEBOX_SONGS_MAX: usize = 4_096;
/// The fastest `pace` in multiples of a song's rate.
pub const JUKEBOX_PACE_MAX: u32 = 64;
/// Extensions that a configuration may name, and bytes in one.
pub const JUKEBOX_EXTENSIONS_MAX: usize = 32;
/// See [`JUKEBOX_EXTENSIONS_MAX`].
pub const JUKEBOX_EXTENSION_BYTES_MAX: usize = 16;
/// Bytes a second of a song whose headers tell nothing: a compact disc.
pub const JUKEBOX_RATE_UNKNOWN: u64 = 176_400;
/// Bytes a second that no song needs more of: 32 channels of 32 bits at 384 kHz.
pub const JUKEBOX_RATE_MAX: u64 = 49_152_000;
/// Bytes before the music of a song that are sent at once.
pub const JUKEBOX_FRONT_BYTES_MAX: u64 = 8 << 20;
/// The port of a jukebox where none is named.
pub const JUKEBOX_PORT: u16 = 6063;
/// Time for a jukebox to take our connection, or to answer.
pub const JUKEBOX_PATIENCE: Duration = Duration::from_secs(5);
/// Time for a jukebox to answer a greeting; an original never does.
pub const JUKEBOX_HELLO_PATIENCE: Duration = Duration::from_millis(300);
/// Things wanted of a jukebox that wait for what is under way.
pub const JUKEBOX_WISHES_MAX: usize = 16;
/// Bytes that wait for a player; then no more are taken from the server.
pub const OUTLET_BYTES_MAX: usize = 256 << 10;
/// After so long without a byte, what looks like the end of a frame is one.
pub const JUKEBOX_SILENCE_MIN: Duration = Duration::from_millis(250);
/// After so long without a byte, a song whose length was not told is over.
pub const JUKEBOX_SILENCE_MAX: Duration = Duration::from_secs(5);

/// Bytes of one event as a datagram: the originals' buffer holds 4096 and must not be full.
pub const EVENT_BYTES_MAX: usize = 4_095;
/// Bytes of a datagram that may be a command of the ticker.
pub const EVENTS_REQUEST_BYTES_MAX: usize = 64;
/// The shortest and the longest time between two events.
pub const EVENTS_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// See [`EVENTS_INTERVAL_MIN`].
pub const EVENTS_INTERVAL_MAX: Duration = Duration::from_secs(3_600);
/// Members of the ticker.
pub const EVENTS_MEMBERS_MAX: usize = 65_536;
/// The longest silence of a member that a configuration may allow.
pub const EVENTS_EXPIRE_MAX: Duration = Duration::from_secs(86_400);
/// How long the registration of an address that proves nothing is kept, where proofs are asked for.
pub const EVENTS_PROOF_PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of one line of a source of events; of a longer one none is kept.
pub const EVENTS_LINE_BYTES_MAX: usize = 16 << 10;
/// Bytes of lines that are read at once; while one of them waits no more are read.
pub const EVENTS_READ_BYTES_MAX: usize = 4 << 10;
/// Those who may write lines to a ticker's socket at once.
pub const EVENTS_FEEDERS_MAX: usize = 16;
/// How often a silent writer of lines is looked at; silence is no fault.
pub const EVENTS_FEEDER_EVERY: Duration = Duration::from_secs(3_600);
/// Between two looks for members who have been silent too long.
pub const EVENTS_SWEEP_EVERY: Duration = Duration::from_millis(500);
/// Teams of one file.
pub const TEAMS_MAX: usize = 32;
/// Bytes in a file of teams.
pub const TEAMS_BYTES_MAX: u64 = 64 << 10;
/// Bytes in the name of a team or a player, and in a position.
pub const TEAM_NAME_BYTES_MAX: usize = 48;
/// Bytes of a match's datagram that are kept free for phrases, goals and minutes.
pub const TEAMS_ROOM_BYTES_MIN: usize = 640;
/// Transmissions to all members that wait in one UDP socket; what comes then is dropped, counted.
pub const DATAGRAM_ROUNDS_MAX: usize = 16;
/// Datagrams that one turn of the loop sends, so that nothing else waits for the rest.
pub const DATAGRAM_BUDGET: usize = 256;
/// Datagrams of one call to the system.
pub const DATAGRAM_BATCH_MAX: usize = 64;
/// Bytes that the kernel is asked to keep of what comes to one UDP socket.
pub const DATAGRAM_RECEIVE_BYTES_MAX: usize = 4 << 20;
/// Behind the highest number that came, how many are known to have come or not.
pub const EVENTS_BEHIND_MAX: usize = 4_096;
/// A client of the ticker registers again so often until the first event comes.
pub const EVENTS_REGISTER_EVERY: Duration = Duration::from_secs(1);
/// And so often from then on, so that a server that forgets the silent, or starts anew, knows it.
pub const EVENTS_REFRESH_EVERY: Duration = Duration::from_secs(10);

/// Pictures and sounds of one block that are carried.
pub const BLOCK_TRACKS_MAX: usize = 8;
/// Between two frames of one block.
pub const BLOCK_SPAN_MAX: Duration = Duration::from_secs(120);
/// Bytes of a block to each frame beyond [`FRAMES_ANYWAY_MAX`]: one takes 40, and lists double.
pub const FRAME_BYTES_AVERAGE_MIN: usize = 48;
/// Bytes of a block that come to each piece of a frame.
pub const PART_BYTES_AVERAGE_MIN: usize = 32;
/// Frames, and pieces of frames, that a block may have however short it is.
pub const FRAMES_ANYWAY_MAX: usize = 512;
/// Bytes of a frame's head that are looked at.
pub const FRAME_HEAD_BYTES_MAX: usize = 512;
/// Bytes of a codec's parameters.
pub const CODEC_CONFIG_BYTES_MAX: usize = 64 << 10;
/// Names of tracks, streams or programmes that one block may declare, carried or not.
pub const DECLARED_TRACKS_MAX: usize = 64;
/// Parts of one fragmented block: their numbers are counted from block to block.
pub const FRAGMENT_PARTS_MAX: u64 = 64;
/// How long one part of a fragmented block lasts: pictures and sounds take turns by it.
pub const FRAGMENT_LASTS_MAX: Duration = Duration::from_millis(250);

/// Files of one directory that are listed.
pub const FILES_MAX: usize = 4_096;
/// Bytes in a file: 1 TiB, which fragments of 1016 bytes can number.
pub const FILES_BYTES_MAX: u64 = 1 << 40;
/// The port where a list and files are asked for.
pub const FILES_PORT: u16 = 50_000;
/// Bytes of a datagram that may be a request for files.
pub const FILES_REQUEST_BYTES_MAX: usize = 1_024;
/// Transfers at once.
pub const FILES_TRANSFERS_MAX: usize = 16_384;
/// The shortest and the longest datagram of a transfer, without what IP and UDP put before it.
pub const FILES_DATAGRAM_MIN: usize = 1_200;
/// See [`FILES_DATAGRAM_MIN`].
pub const FILES_DATAGRAM_MAX: usize = 9_000;
/// How often a longer datagram is tried before the path is taken not to let it through.
pub const FILES_PROBES_MAX: u8 = 3;
/// Datagrams handed to the kernel at once, and bytes in them.
pub const FILES_TRAIN_MAX: usize = 60;
/// See [`FILES_TRAIN_MAX`].
pub const FILES_TRAIN_BYTES_MAX: u64 = 65_000;
/// Trains of one transfer that wait for room in the kernel; what comes then is lost.
pub const FILES_TRAINS_MAX: usize = 256;
/// Datagrams of one transfer that are remembered.
pub const FILES_IN_FLIGHT_MAX: usize = 8_192;
/// Bytes of one transfer that are under way.
pub const FILES_IN_FLIGHT_BYTES_MAX: u64 = 32 << 20;
/// Fragments on the original's wire that are under way: its clients have small buffers.
pub const FILES_PLAIN_DATAGRAMS_MAX: u64 = 256;
/// Ranges in one ack.
pub const FILES_ACK_RANGES_MAX: usize = 64;
/// And in one that is only a sign of life.
pub const FILES_SHORT_ACK_MAX: usize = 2;
/// Runs of datagram numbers that a receiver remembers.
pub const FILES_RUNS_MAX: usize = 256;
/// Runs of bytes behind the first missing one; while there are more, nothing is taken.
pub const FILES_HOLES_MAX: usize = 16_384;
/// Bytes behind the first missing one that are wanted: the original's buffer.
pub const FILES_BUFFER_BYTES: u64 = 8 << 20;
/// The smallest and the largest buffer that a configuration may name.
pub const FILES_BUFFER_MIN: u64 = 64 << 10;
/// See [`FILES_BUFFER_MIN`].
pub const FILES_BUFFER_MAX: u64 = 1 << 30;
/// Datagrams that go before anything is known of the path.
pub const FILES_FIRST_DATAGRAMS: u64 = 32;
/// A round trip that was not measured.
pub const FILES_RTT_UNKNOWN: Duration = Duration::from_millis(300);
/// What the loop's clock counts.
pub const FILES_QUANTUM: Duration = Duration::from_millis(1);
/// How long a busy machine may keep either end waiting: so much more may be under way.
pub const FILES_JITTER: Duration = Duration::from_millis(4);
/// Shorter waits are not told apart.
pub const FILES_TIMER_MIN: Duration = Duration::from_millis(2);
/// The time whose bytes may go at once when the loop was late.
pub const FILES_BURST_MAX: Duration = Duration::from_millis(6);
/// What nobody acks goes again after this at least, and at most, but for the longest of paths.
pub const FILES_RESEND_MIN: Duration = Duration::from_millis(10);
/// See [`FILES_RESEND_MIN`].
pub const FILES_RESEND_MAX: Duration = Duration::from_secs(1);
/// How often that wait is doubled.
pub const FILES_BACKOFF_MAX: u32 = 4;
/// Later datagrams that came before one is lost.
pub const FILES_OVERTAKEN: u32 = 3;
/// Bytes a second of the slowest transfer.
pub const FILES_RATE_MIN: u64 = 4_096;
/// And of the fastest: 1 Tbit/s.
pub const FILES_RATE_MAX: u64 = 125_000_000_000;
/// Round trips over which the highest rate counts.
pub const FILES_RATE_ROUNDS: u64 = 10;
/// Datagrams over which the share of lost ones is reckoned.
pub const FILES_LOSS_DATAGRAMS: u64 = 200;
/// Such shares of which the median counts.
pub const FILES_LOSS_SHARES: usize = 11;
/// What may be under way, in percent of what the path holds.
pub const FILES_WINDOW_PERCENT: u64 = 200;
/// Rounds in a row with longer round trips after which somebody else fills the queue.
pub const FILES_PRESSED_ROUNDS: u32 = 8;
/// Rounds in a row without, after which nobody else is there.
pub const FILES_CALM_ROUNDS: u32 = 10;
/// How long a shortest round trip counts before it is looked for again, and how long that takes.
pub const FILES_LOOK_EVERY: Duration = Duration::from_secs(10);
/// See [`FILES_LOOK_EVERY`].
pub const FILES_LOOK_LASTS: Duration = Duration::from_millis(100);
/// A client that says nothing for so long has gone.
pub const FILES_SILENCE_MAX: Duration = Duration::from_secs(6);
/// A server that says nothing for so long has gone.
pub const FILES_SERVER_SILENCE_MAX: Duration = Duration::from_secs(10);
/// A sign of life of a client that wants nothing now.
pub const FILES_KEEP_ALIVE: Duration = Duration::from_secs(2);
/// A request that nothing answers is sent again after this.
pub const FILES_ASK_EVERY: Duration = Duration::from_millis(500);
/// And so often; then there is no server.
pub const FILES_ASKS_MAX: u32 = 10;
/// Between two tries to bring the end to an original client, and how many.
pub const FILES_END_EVERY: Duration = Duration::from_secs(1);
/// See [`FILES_END_EVERY`].
pub const FILES_ENDS_MAX: u32 = 60;
/// Lists that one address gets at once; one more each second.
pub const FILES_LISTS_MAX: u64 = 8;
/// Bytes of lists a second, to all together.
pub const FILES_LIST_BYTES_MAX: u64 = 1 << 20;
/// Addresses whose lists are counted.
pub const FILES_ADDRESSES_MAX: usize = 4_096;
/// Connections of players that read one file over HTTP while it comes.
pub const FILES_PLAYERS_MAX: usize = 16;
/// How long after the last of them a whole file is still there for one that comes back.
pub const FILES_PLAYER_AWAY_MAX: Duration = Duration::from_secs(5);
/// Bytes of a file that are hashed in one turn of the loop.
pub const FILES_HASH_BYTES: usize = 256 << 10;
/// Bytes that the disk is asked for ahead of what is sent or hashed.
pub const FILES_AHEAD_BYTES: u64 = 4 << 20;
/// Hashes of files that are remembered.
pub const FILES_HASHES_MAX: usize = 256;
/// Buffers that a client fills in one call.
pub const FILES_BATCHES_MAX: usize = 16;
/// Bytes handed to a player at once: what a pipe takes whole when it takes any.
pub const FILES_FEED_BYTES: usize = 4_096;
/// Bytes of a list that a client takes.
pub const FILES_LIST_TAKEN_MAX: usize = 4 << 20;
/// A list is over when nothing more of it comes for so long.
pub const FILES_LIST_SILENCE: Duration = Duration::from_millis(300);
/// What a player takes, in bytes a second, before that is known: 8 Mbit/s.
pub const FILES_PLAYER_RATE: u64 = 1_000_000;
/// Over how long what it takes is measured.
pub const FILES_MEASURE_EVERY: Duration = Duration::from_secs(4);
/// How long a client stays to answer an original server's end again.
pub const FILES_LINGER: Duration = Duration::from_millis(1_200);
/// Between two acks that only widen the window of a player.
pub const FILES_WIDEN_EVERY: Duration = Duration::from_millis(100);

const _: () = assert!(2 * HTTP_LAG_BLOCKS_MAX <= QUEUE_PAYLOADS_MAX, "what waits has its place");
const _: () = assert!(HLS_SHORT_SEGMENTS < WINDOW_BLOCKS_MAX as u64, "they are in the window");
const _: () = assert!(TV_DIALS_UNPROVEN_MAX < TV_DIALS_MAX, "proven clients keep some dials");
const _: () = assert!(SNIFF_BYTES_MAX > 2 * 188, "two TS packets and the next one's first byte");
const _: () = assert!(LOG_LINE_BYTES_MAX > 4 * SHOWN_BYTES_MAX, "escaped text fits a line");
const _: () = assert!(TV_RETRY_MIN.as_millis() < TV_RETRY_MAX.as_millis(), "room for jitter");
const _: () = assert!(8 * MESH_DEPTH_MAX < MESH_FRAME_BYTES_MAX, "a path fits a frame");
