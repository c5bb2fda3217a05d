//! A member that sends wrong bytes to its children.

use std::time::{Duration, Instant};

use crate::harness::eventually;
use crate::harness::liar::{self, Liar, Lie};
use crate::harness::mesh::{Layout, Mesh};

/// What happens by itself has happened by then, however busy the machine is.
const BY_THEN: Duration = Duration::from_secs(60);
/// A newcomer is given no children for ten seconds.
const GROWN_UP: Duration = Duration::from_secs(11);

#[test]
fn wrong_bytes_are_dropped_and_their_sender_is_left() {
    let (liar, mesh) = lying(Lie::Bytes);
    mesh.assert_nothing_missed();
    eventually(BY_THEN, "nobody takes from the liar", || (liar.taken() == 0).then_some(()));
    let announced = format!("is not what was announced; dropped, from {liar}", liar = liar::NAME);
    let found = |text: &str| text.ends_with(&announced);
    assert!(mesh.members().any(|member| !member.daemon.texts(found).is_empty()), "found out");
}

#[test]
fn wrong_heads_harm_nobody() {
    let (liar, mesh) = lying(Lie::Heads);
    mesh.assert_nothing_missed();
    eventually(BY_THEN, "nobody takes from the liar", || (liar.taken() == 0).then_some(()));
}

/// A mesh with a liar that has told its first lie. Where it is placed is the planner's; a root that
/// could not reach it in time, on a busy machine, gives it no children, and another mesh is made.
fn lying(lie: Lie) -> (Liar, Mesh) {
    let told = (0..5).find_map(|_| Some(placed(lie)).filter(|(liar, _)| liar.lies() > 0));
    told.expect("a liar with children in one of five meshes")
}

/// A mesh with a liar that has told its first lie, or is given no children.
fn placed(lie: Lie) -> (Liar, Mesh) {
    let mut mesh = Mesh::root(Layout { relays: 0, clients: 6, root_slots: 2, ..Layout::default() });
    // First in, and the only one that is not young: the others have to be below it.
    let (liar, joined) = (Liar::join(mesh.root, 4, lie), Instant::now());
    let grown_up = || (joined.elapsed() > GROWN_UP).then_some(());
    eventually(BY_THEN, "the liar may have children", grown_up);
    mesh.add_members();
    mesh.settle();
    let settled = Instant::now();
    let over = || liar.lies() > 0 || settled.elapsed() > GROWN_UP * 2;
    eventually(BY_THEN, "lies told, or no children", || over().then_some(()));
    (liar, mesh)
}
