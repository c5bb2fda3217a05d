//! The reasons for which timers are armed, and what a timer carries. They wake machines through the
//! node; the wheel knows nothing of them.

/// Why a timer was armed. Each reason belongs to one machine, so it also says who is woken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Why {
    /// tv server: a command has not come.
    CommandPatience,
    /// tv server: an answered command's sender has not hung up.
    CommandLinger,
    /// tv server: a callback waits to be dialled again.
    CallbackRetry,
    /// tv server: a callback has not been accepted.
    CallbackPatience,
    /// tv server: a reply or block is not through.
    CallbackDeadline,
    /// tv server: the pause between `10` and the first block.
    JoinPause,
    /// tv client: time to send the command (again).
    Join,
    /// tv client: the command or its answer has not come through.
    JoinPatience,
    /// tv client: no block for three periods.
    Silent,
    /// tv client: a block has stopped in the middle.
    ReceivePatience,
    /// A channel's next block is due.
    BlockStart,
    /// A movie's first block is looked at, for what players can have of it.
    EdgeProbe,
    /// http: a request head is not complete.
    HeadPatience,
    /// http: a kept connection is idle.
    Idle,
    /// http: the reader takes nothing.
    Stall,
    /// control: the command has not come, or the answer is not taken.
    ControlPatience,
    /// mesh: the other end has not said who it is.
    MeshHello,
    /// mesh: time for a sign of life on a link.
    MeshBeat,
    /// mesh: a node looks for what is late.
    MeshTick,
    /// mesh: time to ask a root (again).
    MeshJoin,
    /// mesh: a block that has arrived goes on the air.
    MeshAir,
    /// jukebox server: the next payload may go.
    JukeboxFrame,
    /// jukebox server: a listener takes nothing.
    JukeboxStall,
    /// jukebox server: a listener asks for nothing.
    JukeboxIdle,
    /// jukebox client: the server has not answered.
    JukeboxPatience,
    /// jukebox client: nothing has come for a while.
    JukeboxSilence,
    /// events: the next event is due.
    EventsTick,
    /// events: somebody who writes lines has been silent.
    EventsFeeder,
    /// files: a transfer may send, or has waited long enough.
    FilesTransfer,
    /// A connection told to close has not.
    ClosePatience,
    /// A graceful stop has taken long enough.
    DrainLimit,
}

/// Whom a timer wakes, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wake {
    /// The reason, and so the machine.
    pub why: Why,
    /// A connection's key, or a number that the machine chose.
    pub what: u64,
}
