//! Which runtime serves: `--runtime=tokio|glommio|auto`.

use super::settings::{Refused, Settings};
use keel_proto::body::{Config, Failure};
#[cfg(feature = "glommio")]
use keel_runtime_glommio::Lent;
#[cfg(feature = "glommio")]
use keel_runtime_tokio::{Ground, Recorder, disk::MapDisk};

/// A runtime of this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runtime {
    Tokio,
    #[cfg(feature = "glommio")]
    Glommio,
}

impl Runtime {
    /// The one that is asked for; `auto` is glommio where this machine lets it run. What was
    /// chosen, and why, is told in the line `starting an etcd server`.
    pub(super) fn of(settings: &Settings, config: &mut Config) -> Result<Runtime, Refused> {
        let (runtime, why) = match settings.text("runtime") {
            "tokio" => (Runtime::Tokio, None),
            "glommio" => (glommio()?, None),
            "auto" => best(),
            other => {
                return Err(Refused::value(format!(
                    "unknown runtime {other:?}, supported values tokio, glommio, auto"
                )));
            }
        };
        let mut show = |key: &str, value: &str| config.shown.push((key.into(), value.into()));
        show("runtime", runtime.name());
        if let Some(why) = why {
            show("runtime-reason", &why);
        }
        Ok(runtime)
    }

    fn name(self) -> &'static str {
        match self {
            Runtime::Tokio => "tokio",
            #[cfg(feature = "glommio")]
            Runtime::Glommio => "glommio",
        }
    }

    /// Serves until it is asked to stop.
    pub(super) fn run(self, config: Config) -> Result<(), Failure> {
        match self {
            Runtime::Tokio => keel_runtime_tokio::run(config),
            #[cfg(feature = "glommio")]
            Runtime::Glommio => {
                keel_runtime_glommio::probe()?;
                let Ground { journal, dir, seed, init } = Ground::prepare(&config)?;
                let told = config.clone();
                let lent = Lent {
                    journal: journal.clone(),
                    disk: |lane| MapDisk::with_lane(dir, told.backend, lane),
                    tape: &|run, epoch| Recorder::tape(&told, run, epoch, &journal),
                    seed,
                    ready: Box::new(move || init.notify()),
                };
                keel_runtime_glommio::run(config, lent)
            }
        }
    }
}

#[cfg(feature = "glommio")]
fn glommio() -> Result<Runtime, Refused> {
    Ok(Runtime::Glommio)
}

#[cfg(not(feature = "glommio"))]
fn glommio() -> Result<Runtime, Refused> {
    Err(Refused::value("--runtime=glommio: this build was made without it; use --runtime=tokio"))
}

#[cfg(feature = "glommio")]
fn best() -> (Runtime, Option<String>) {
    match keel_runtime_glommio::probe() {
        Ok(()) => (Runtime::Glommio, Some(String::from("io_uring can be used"))),
        Err(failure) => (Runtime::Tokio, Some(failure.to_string())),
    }
}

#[cfg(not(feature = "glommio"))]
fn best() -> (Runtime, Option<String>) {
    (Runtime::Tokio, Some(String::from("this build has no other")))
}
