//! The server, under etcd's name.

use std::process::ExitCode;

/// Calls allocate and free much of little; see the README's table for what this is worth.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keel_cli::server::main()
}
