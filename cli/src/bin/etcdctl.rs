//! The client, under etcd's name.

use std::process::ExitCode;

fn main() -> ExitCode {
    keel_cli::ctl::main()
}
