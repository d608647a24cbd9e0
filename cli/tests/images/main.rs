//! An operator's first day: the guide of a hardened etcd image, step by step, with ours.
//!
//! ```text
//!   [network namespace of the test]  dockerd ── images (Dockerfile, local bases) ── guide, compose, refusals
//! ```
//!
//! It wants root, Debian's packages and some minutes for a release build, so it runs where it is
//! asked for: `KEEL_IMAGES=1 cargo test -p keel-cli --test images`, as `.ci/run` does. What is
//! missing is installed; where that cannot be, it says that it skipped, and why. With
//! `KEEL_IMAGES=twice` it also builds the programs a second time, from nothing, and compares them.

mod bases;
mod beside;
mod compose;
mod engine;
mod figures;
mod guide;
#[path = "../peers/build.rs"]
mod peers;
mod refusals;
mod twice;

use engine::Engine;

/// What it shows, and how.
type Step = (&'static str, fn(&Engine));

#[test]
fn an_operator_gets_through_the_first_day() {
    let Some(engine) = Engine::start() else { return };
    if let Err(why) = bases::make(&engine) {
        eprintln!("SKIPPED: no base image can be made: {why}");
        return;
    }
    for (target, image) in [("runtime", engine::RUNTIME), ("dev", engine::DEV)] {
        engine.build_ours(target, image, &[]);
    }
    let steps: [Step; 15] = [
        ("the image says what it is", guide::the_image_says_what_it_is),
        ("a server is one command away", guide::a_server_is_one_command_away),
        ("the tools reach a server", guide::the_tools_reach_a_server),
        ("etcd's own tools say the same", beside::etcds_own_tools_say_the_same),
        ("a volume outlives its container", guide::a_volume_outlives_its_container),
        ("a read-only root is enough", guide::a_read_only_root_is_enough),
        ("others build on it", guide::others_build_on_it),
        ("a debugger looks in", guide::a_debugger_looks_in),
        ("three members by compose", compose::three_members_live_and_come_back),
        ("no shell", refusals::there_is_no_shell_and_no_package_manager),
        ("no write elsewhere", refusals::nothing_is_written_outside_the_volume),
        ("a wrong flag is a failure", refusals::a_wrong_flag_is_a_failure),
        ("an unhealthy server is seen", refusals::an_unhealthy_server_is_seen),
        ("ours beside etcd", figures::ours_is_smaller_and_sooner_ready),
        ("the same from a second build", twice::a_second_build_gives_the_same_programs),
    ];
    for (name, step) in steps {
        eprintln!("{name}");
        step(&engine);
        engine.sweep();
    }
}
