//! The offline tool, under etcd's name.

use std::process::ExitCode;

/// As in the server: whole databases are put together from millions of small pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keel_cli::utl::main()
}
