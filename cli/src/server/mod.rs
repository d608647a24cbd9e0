//! The server's command line.
//!
//! ```text
//!   arguments, ETCD_* or a file ─► Settings (flag by flag) ─► Config (checked) ─► the runtime
//! ```

mod config;
pub(crate) mod duration;
mod file;
pub mod flags;
mod log;
mod settings;
mod urls;

pub use config::config;
pub use settings::{Refused, Settings, Wanted, help};

use keel_proto::service::VERSION;
use keel_runtime_tokio::{Config, Failure};
use std::process::ExitCode;

/// Runs the server until it is asked to stop.
#[must_use]
pub fn main() -> ExitCode {
    let wanted = Settings::read(std::env::args().skip(1), std::env::vars());
    let settings = match wanted {
        Ok(Wanted::Serve(settings)) => settings,
        Ok(Wanted::Help) => {
            print!("{}", help());
            return ExitCode::SUCCESS;
        }
        Ok(Wanted::Version) => {
            println!("etcd Version: {VERSION}\nkeel Version: {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Ok(Wanted::Health(settings)) => return run(&settings, keel_runtime_tokio::ask_ready),
        Err(refused) => return refuse(&refused),
    };
    run(&settings, keel_runtime_tokio::run)
}

/// Does something with the settings' configuration.
fn run(settings: &Settings, act: impl FnOnce(Config) -> Result<(), Failure>) -> ExitCode {
    match config(settings).map(act) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => {
            eprintln!("etcd: {failure}");
            ExitCode::FAILURE
        }
        Err(refused) => refuse(&refused),
    }
}

fn refuse(refused: &Refused) -> ExitCode {
    eprintln!("etcd: {}", refused.line);
    ExitCode::from(refused.code)
}
