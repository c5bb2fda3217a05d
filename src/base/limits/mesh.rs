//! What bounds the relay trees. Part of [`super`], where the others are.

use core::time::Duration;

/// Stripes of a block; a set of them is 16 bits.
pub const MESH_STRIPES_MAX: usize = 16;
/// Members of one planner.
pub const MESH_MEMBERS_MAX: usize = 65_536;
/// Slots that a member may offer.
pub const MESH_SLOTS_MAX: usize = 1_024;
/// Ids in the path of a stripe, and so the depth of a tree.
pub const MESH_DEPTH_MAX: usize = 2_048;
/// Bytes of one frame, without the bytes of a stripe behind it.
pub const MESH_FRAME_BYTES_MAX: usize = 32 << 10;
/// Addresses that one answer names.
pub const MESH_PEERS_MAX: usize = 64;
/// Nodes that a member may ask for bytes that it misses.
pub const MESH_HELPERS_MAX: usize = 4;
/// Lost parents that one report names.
pub const MESH_LOSSES_MAX: usize = 16;
/// Bytes in the reason of a refusal.
pub const MESH_REASON_BYTES_MAX: usize = 255;
/// A member younger than this is a leaf while others can carry it.
pub const MESH_YOUNG_MAX: Duration = Duration::from_secs(10);
/// Between two rounds that even out what the members send.
pub const MESH_BALANCE_EVERY: Duration = Duration::from_secs(30);
/// How long a root that came back waits for the parents that its members name: some come late.
pub const MESH_SETTLE_MAX: Duration = Duration::from_secs(6);
/// Children that say within this that they lost one parent are believed.
pub const MESH_SUSPICION_MAX: Duration = Duration::from_secs(3);
/// Time for both ends of a new link to say who they are.
pub const MESH_HELLO_PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of the first frame of a link.
pub const MESH_HELLO_BYTES_MAX: usize = 512;
/// Links that have not said who they are, in all and from one address.
pub const MESH_LOBBY_MAX: usize = 512;
/// See [`MESH_LOBBY_MAX`].
pub const MESH_LOBBY_ADDRESS_MAX: usize = 64;
/// Between two signs of life of a parent to a child, unless it has sent something else.
pub const MESH_BEAT_EVERY: Duration = Duration::from_millis(500);
/// Silence after which a parent is lost: three missed beats.
pub const MESH_SILENCE_MAX: Duration = Duration::from_millis(1_750);
/// Between two signs of life of an end that was dialled and sends no stripes: a root has a link to
/// each of its members.
pub const MESH_IDLE_BEAT_EVERY: Duration = Duration::from_secs(2);
/// Silence after which such an end is lost: two missed beats. Where a root is lost, another has to
/// be found before the lead is over.
pub const MESH_IDLE_SILENCE_MAX: Duration = Duration::from_millis(4_500);
/// Between two signs of life of an end that dialled: nobody misses a block while a child is silent.
pub const MESH_CHILD_BEAT_EVERY: Duration = Duration::from_millis(1_500);
/// Silence after which such an end is lost: two missed beats.
pub const MESH_CHILD_SILENCE_MAX: Duration = Duration::from_secs(4);
/// How long a child may take nothing of what is queued for it until nobody's request waits behind
/// it any more: it is likely to be dead, and not slow.
pub const MESH_STUCK_AFTER: Duration = Duration::from_millis(500);
/// How long the other end of a link may take nothing of what is queued for it.
pub const MESH_STALL_MAX: Duration = Duration::from_secs(3);
/// Bytes queued on a link above which no more of a stripe is put on it.
pub const MESH_QUEUED_BYTES_MAX: u64 = 256 << 10;
/// Payloads queued on a link above which no more of a stripe is put on it.
pub const MESH_PIECES_QUEUED_MAX: usize = 16;
/// Payloads queued on a link at most.
pub const MESH_PAYLOADS_MAX: usize = 60;
/// Bytes of a stripe that are worth a head of their own while the rest is still to come.
pub const MESH_PIECE_BYTES_MIN: u64 = 16 << 10;
/// Bytes of a stripe behind one head.
pub const MESH_PIECE_BYTES_MAX: u64 = 128 << 10;
/// Blocks that a node of the mesh keeps or receives at once.
pub const MESH_BLOCKS_MAX: usize = 64;
/// How far ahead of the newest complete block a block may be numbered.
pub const MESH_AHEAD_MAX: u64 = 1_024;
/// Blocks beyond the newest that the root has told of that a member takes in.
pub const MESH_EARLY_MAX: u64 = 8;
/// Blocks in a row that a parent may fail to send a stripe of before it is left.
pub const MESH_FAILURES_MAX: u8 = 3;
/// Links that others may have made to a node, beside its slots.
pub const MESH_GUESTS_MAX: usize = 64;
/// Bytes that one guest may have asked for and not got: so many requests.
pub const MESH_WANTS_MAX: usize = 64;
/// Such requests of all guests that may wait for the uplink to have room.
pub const MESH_WANTS_WAITING_MAX: usize = 8;
/// Links over which requests are answered at a time.
pub const MESH_WANTS_AT_ONCE_MAX: usize = 4;
/// Blocks that a child may be behind before others get nothing beside.
pub const MESH_BEHIND_MAX: u64 = 1;
/// Links that a member makes to others.
pub const MESH_UPSTREAMS_MAX: usize = 48;
/// Roots whose links wait for the proof of their port.
pub const MESH_PROOFS_MAX: usize = 256;
/// Time for the proof of an advertised port.
pub const MESH_PROOF_PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks for what is late, of which every other one is passed over by who is at rest.
pub const MESH_TICK_EVERY: Duration = Duration::from_millis(250);
/// How long after it was expected a stripe is late.
pub const MESH_LATE_AFTER: Duration = Duration::from_millis(750);
/// How much longer it may rest where its parent has often let it rest so long.
pub const MESH_LULL_MAX: Duration = Duration::from_secs(2);
/// How long before its air time a stripe has to be whole, or is fetched elsewhere.
pub const MESH_RUSH: Duration = Duration::from_secs(2);
/// How long a member waits for a parent that says that it is late itself.
pub const MESH_PATIENCE_MAX: Duration = Duration::from_millis(2_500);
/// How long a parent may owe bytes without saying that it is late.
pub const MESH_OWES_MAX: Duration = Duration::from_millis(1_500);
/// How long a parent may owe bytes that says so.
pub const MESH_EXCUSED_MAX: Duration = Duration::from_secs(4);
/// How long after a wrong stripe its sender may say that it was wrong there too.
pub const MESH_VERDICT_MAX: Duration = Duration::from_millis(600);
/// Senders of wrong bytes that a member remembers.
pub const MESH_LIARS_MAX: usize = 16;
/// Time for the answer to a subscription, dialling included.
pub const MESH_ASK_PATIENCE: Duration = Duration::from_secs(2);
/// After which everybody who refused a stripe may be asked again.
pub const MESH_ASK_AGAIN: Duration = Duration::from_secs(1);
/// The shortest wait before somebody is asked again who did not have it, or had no slot.
pub const MESH_AGAIN_MIN: Duration = Duration::from_millis(200);
/// How long a root's child waits for a root that is gone before it turns to other members.
pub const MESH_ROOT_PATIENCE: Duration = Duration::from_secs(5);
/// How often the wait before a planned parent is asked again is doubled.
pub const MESH_AGAIN_MAX: u32 = 4;
/// Time for the answer to a request for missing bytes.
pub const MESH_PULL_PATIENCE: Duration = Duration::from_millis(750);
/// How long such a request may wait for room: less, so that nobody is answered twice.
pub const MESH_WANT_WAITS_MAX: Duration = Duration::from_millis(550);
/// How much of a block's time a member that has shown none needs to get the next one.
pub const MESH_BEGIN_MIN: Duration = Duration::from_secs(1);
/// Between two reports of a member.
pub const MESH_REPORT_EVERY: Duration = Duration::from_secs(5);
/// A member's first and longest wait before it asks a root again.
pub const MESH_REJOIN_MIN: Duration = Duration::from_millis(200);
/// See [`MESH_REJOIN_MIN`].
pub const MESH_REJOIN_MAX: Duration = Duration::from_secs(10);
/// How often a member at another root than the best looks whether that one answers.
pub const MESH_HOME_EVERY: Duration = Duration::from_secs(3);
/// For how long a better root has to answer before a member goes back to it.
pub const MESH_HOME_AFTER: Duration = Duration::from_secs(10);
/// How long a member that leaves serves its children.
pub const MESH_LEAVE_MAX: Duration = Duration::from_secs(2);
/// How long a link that carries nothing is kept.
pub const MESH_IDLE_MAX: Duration = Duration::from_secs(10);
/// Places mended with each event.
pub const MESH_MENDS_MAX: usize = 4;
/// The port of a root where a configuration names none.
pub const MESH_PORT: u16 = 6061;
/// Roots that a configuration may name.
pub const MESH_ROOTS_MAX: usize = 8;
/// The shortest and the longest time before its air time at which a block enters the mesh.
pub const MESH_LEAD_MIN: Duration = Duration::from_millis(500);
/// See [`MESH_LEAD_MIN`].
pub const MESH_LEAD_MAX: Duration = Duration::from_secs(60);
/// Bytes a second that a root may be told to spend outside its slots: 10 Gbit/s.
pub const MESH_RESCUE_RATE_MAX: u64 = 1_250_000_000;
/// Links from one address that have not been taken in: a crowd is let in so many at a time.
pub const MESH_UNPROVEN_MAX: usize = 64;
/// How long a link that others made may show nothing that lets it in.
pub const MESH_UNPROVEN_PATIENCE: Duration = Duration::from_secs(10);
/// Addresses whose nonsense was put into words in the last minute; that of more is only counted.
pub const MESH_COMPLAINTS_MAX: usize = 256;
/// How long two children must wait for bytes for what they are sent to be a measure.
pub const MESH_GOODPUT_WINDOW: Duration = Duration::from_secs(1);
/// Such windows that are looked back at.
pub const MESH_GOODPUT_WINDOWS_MAX: usize = 4;
/// How long a measure holds: a leaf sends nothing, and so would never be measured again.
pub const MESH_GOODPUT_KEPT: Duration = Duration::from_secs(300);
/// Blocks over which a root reckons the bytes a second of its channel.
pub const MESH_RATE_BLOCKS_MAX: usize = 8;
