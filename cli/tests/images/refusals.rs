//! What must fail, fails.

use crate::engine::{Engine, RUNTIME};

const ETCD: &str = "/usr/local/bin/etcd";

pub(crate) fn there_is_no_shell_and_no_package_manager(engine: &Engine) {
    for program in ["sh", "bash", "/bin/sh", "/busybox/sh", "apt", "apk", "dpkg", "rpm"] {
        let said =
            engine.must_not(&["run", "--rm", "--entrypoint", program, RUNTIME, "-c", "true"]);
        let missing = said.contains("not found") || said.contains("no such file");
        assert!(missing, "{program}: {said}");
    }
}

pub(crate) fn nothing_is_written_outside_the_volume(engine: &Engine) {
    let run = ["run", "--rm", RUNTIME, ETCD];
    for dir in ["--data-dir=/elsewhere", "--data-dir=/usr/local/data", "--data-dir=/etc/data"] {
        let said = engine.must_not(&[&run[..], &[dir]].concat());
        assert!(said.to_lowercase().contains("permission denied"), "{dir}: {said}");
    }
}

pub(crate) fn a_wrong_flag_is_a_failure(engine: &Engine) {
    let run = ["run", "--name", "wrong", RUNTIME, ETCD, "--no-such-flag"];
    let said = engine.must_not(&run);
    assert!(said.contains("no-such-flag"), "{said}");
    let code = engine.must(&["inspect", "--format", "{{.State.ExitCode}}", "wrong"]);
    assert_eq!(code, "2");
}

pub(crate) fn an_unhealthy_server_is_seen(engine: &Engine) {
    engine.must(&["run", "--detach", "--name", "etcd", RUNTIME]);
    engine.healthy("etcd");
    let ask = ["exec", "etcd", ETCD, "healthcheck"];
    engine.must(&ask);
    let urls =
        ["--listen-client-urls=http://127.0.0.1:1", "--advertise-client-urls=http://127.0.0.1:1"];
    let elsewhere = [&ask[..], &urls].concat();
    let said = engine.must_not(&elsewhere);
    assert!(said.contains("http://127.0.0.1:1 is not ready"), "{said}");
}
