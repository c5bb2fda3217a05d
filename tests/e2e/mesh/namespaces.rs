//! Nodes on hosts of their own: network namespaces, with a bad link between two groups of them.

use std::time::Duration;

use crate::harness::link::{Impairment, Link};
use crate::harness::mesh::{Layout, Mesh};
use crate::harness::namespaces::{Host, Place, obstacle};
use crate::harness::skip;

/// What stands behind an ordinary line.
const LINE: Impairment = Impairment {
    delay: Duration::from_millis(20),
    jitter: Duration::from_millis(5),
    lost: 10,
    doubled: 2,
    reordered: 5,
    spoilt: 1,
    rate: 100_000_000,
};

/// Two places, joined by a link, and the hosts there. The daemons go first, the link last.
struct World {
    mesh: Mesh,
    hosts: Vec<Host>,
    link: Link,
    _places: [Place; 2],
}

/// A server and a client here; a relay and three clients at the other end of the link.
fn world(seed: &str) -> World {
    let mut places = [Place::new(1), Place::new(2)];
    let [near, far] = &places;
    let ends = ["10.77.0.1", "10.77.0.2"];
    let link = Link::join((&near.router, ends[0]), (&far.router, ends[1]), LINE, seed);
    near.router.ip(&["route", "add", &far.network(), "via", ends[1]]);
    far.router.ip(&["route", "add", &near.network(), "via", ends[0]]);
    let server = places[0].host();
    let layout = Layout { root_slots: 3, bytes: 120_000, ..Layout::default() };
    let mut mesh = Mesh::root_on(layout, &server);
    let mut hosts = vec![server];
    for (number, place) in [1, 0, 1, 1, 1].into_iter().enumerate() {
        let host = places[place].host();
        if number == 0 {
            mesh.add_relay_on(&host);
        } else {
            mesh.add_client_on(&host);
        }
        hosts.push(host);
    }
    World { mesh, hosts, link, _places: places }
}

#[test]
fn blocks_are_complete_behind_a_link_that_delays_and_loses() {
    if let Some(why) = obstacle() {
        return skip(why);
    }
    let world = world("a link that delays and loses");
    world.mesh.settle();
    world.mesh.assert_nothing_missed();
    let (taken, lost) = world.link.counts();
    println!("{taken} packets came to the link, {lost} were lost");
    assert!(lost * 1_000 > taken * 5, "{lost} of {taken} packets lost");
}

#[test]
fn nobody_misses_a_block_when_a_host_goes_silently() {
    if let Some(why) = obstacle() {
        return skip(why);
    }
    let mut world = world("a host goes silently");
    world.mesh.settle();
    let inner = world.mesh.take_innermost();
    let host = world.hosts.iter().find(|host| inner.port.ip().to_string() == host.address);
    host.expect("its host").cut_cable();
    world.mesh.assert_nothing_missed();
}
