//! The server, under etcd's name.

use std::process::ExitCode;

/// Calls allocate and free much of little: against glibc's allocator this saves a quarter of the
/// CPU of a range and of a watch's event, and a tenth of a put's (`keel-bench`, one core).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keel_cli::server::main()
}
