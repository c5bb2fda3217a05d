//! The simulator's own tests: small meshes in virtual time, with faults drawn at random.

mod world;

use world::SECOND;
use world::scenario::Scenario;

#[test]
fn a_small_mesh_in_peace() {
    let mut scenario = Scenario::new(1, 64);
    scenario.time = 60 * SECOND;
    scenario.clean = true;
    let outcome = scenario.run();
    println!("{outcome:#?}");
    assert_eq!((outcome.missed, outcome.faults), (0, vec![]));
}
