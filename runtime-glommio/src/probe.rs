//! Whether this machine lets a process have rings, and what to change where it does not.

use keel_proto::body::Failure;
use rustix::io::Errno;
use rustix::io_uring::{io_uring_params, io_uring_setup};
use rustix::process::{Resource, getrlimit};
use std::fs;

/// glommio asks for as much, bytes.
const MEMLOCK_MIN: u64 = 512 * 1024;

/// The kernel that has every operation that glommio asks for.
const KERNEL_MIN: (u32, u32) = (5, 8);

/// Where an administrator forbids rings.
const SWITCH: &str = "/proc/sys/kernel/io_uring_disabled";

/// Looks before the first executor is made: glommio would panic, and blame the kernel's age.
///
/// # Errors
///
/// What stands in the way, and what to do; the process should exit with
/// [`UNAVAILABLE`](keel_proto::body::UNAVAILABLE).
pub fn probe() -> Result<(), Failure> {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    if version(&release).is_some_and(|version| version < KERNEL_MIN) {
        let (major, minor) = KERNEL_MIN;
        return Err(refused(&format!(
            "this kernel is {release}, and io_uring is needed as Linux {major}.{minor} has it: \
             update the kernel"
        )));
    }
    ring()?;
    let locked = getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX);
    if locked < MEMLOCK_MIN {
        return Err(refused(&format!(
            "this process may lock {locked} bytes of memory, and rings need {MEMLOCK_MIN}: raise \
             the limit (`ulimit -l 8192` in a shell, `LimitMEMLOCK=8M` in a systemd unit, \
             `--ulimit memlock=8388608` for docker run)"
        )));
    }
    Ok(())
}

/// Asks the kernel for the smallest ring, and gives it back.
fn ring() -> Result<(), Failure> {
    let mut params = io_uring_params::default();
    // SAFETY: the parameters are zeroed, which asks for no feature and names no other descriptor,
    // and they live through the call, which writes only into them.
    let ring = unsafe { io_uring_setup(1, &mut params) };
    let error = match ring {
        Ok(ring) => {
            drop(ring);
            return Ok(());
        }
        Err(error) => error,
    };
    let forbidden = fs::read_to_string(SWITCH).is_ok_and(|text| text.trim() != "0");
    Err(refused(&match error {
        Errno::PERM if forbidden => format!(
            "{SWITCH} forbids io_uring: set it to 0 (`sysctl -w kernel.io_uring_disabled=0`), or \
             run this process as one that it allows"
        ),
        Errno::PERM | Errno::ACCESS | Errno::NOSYS => format!(
            "io_uring is forbidden here ({error}), most likely by a container's seccomp profile: \
             allow the system calls io_uring_setup, io_uring_enter and io_uring_register in it \
             (docker run: --security-opt seccomp=profile.json)"
        ),
        Errno::NOMEM => format!(
            "the kernel has no memory for a ring ({error}): raise the limit of locked memory \
             (`ulimit -l 8192`)"
        ),
        error => format!("the kernel makes no ring: {error}"),
    }))
}

fn refused(why: &str) -> Failure {
    Failure::unavailable(format!("--runtime=glommio: {why}; or use --runtime=tokio"))
}

/// The first two numbers of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        let table = [
            ("6.18.0-1-cloud-amd64", Some((6, 18))),
            ("5.8", Some((5, 8))),
            ("4.19.0", Some((4, 19))),
            ("unknown", None),
        ];
        for (release, expected) in table {
            assert_eq!(version(release), expected, "{release}");
        }
    }
}
