//! The server's command line.
//!
//! ```text
//!   arguments, ETCD_* or a file ─► Settings (flag by flag) ─► Config (checked) ─► a runtime
//! ```

mod config;
pub(crate) mod duration;
mod file;
pub mod flags;
mod log;
mod runtime;
mod settings;
mod urls;

pub use config::config;
pub use settings::{Refused, Settings, Wanted, help};

use keel_proto::body::Failure;
use keel_proto::service::VERSION;
use runtime::Runtime;
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
        Ok(Wanted::Health(settings)) => {
            return match config(&settings) {
                Ok(config) => ended(keel_runtime_tokio::ask_ready(config)),
                Err(refused) => refuse(&refused),
            };
        }
        Err(refused) => return refuse(&refused),
    };
    match config(&settings).and_then(|mut config| {
        let runtime = Runtime::of(&settings, &mut config)?;
        Ok((runtime, config))
    }) {
        Ok((runtime, config)) => ended(runtime.run(config)),
        Err(refused) => refuse(&refused),
    }
}

fn ended(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("etcd: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn refuse(refused: &Refused) -> ExitCode {
    eprintln!("etcd: {}", refused.line);
    ExitCode::from(refused.code)
}
