//! `keel-sim`: runs scenarios, explores seeds, replays and shrinks what failed.

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use keel_sim::explore::{explore, kept};
use keel_sim::{Plan, shrink, story, walk};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Runs whole clusters in one process, with faults by seed, and judges them.
#[derive(Parser)]
#[command(name = "keel-sim", version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run scenario files and compare what happens with what they tell.
    Run {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Run seeds; plans of those that fail are saved.
    Explore {
        /// From the first to the one before the last: `1..1000`.
        #[arg(long, value_parser = seeds)]
        seeds: (u64, u64),
        /// Stop after so many minutes.
        #[arg(long)]
        minutes: Option<u64>,
        /// Where plans of failing seeds are saved.
        #[arg(long, default_value = ".")]
        save: PathBuf,
    },
    /// Run a plan and print what happens.
    Replay {
        /// The plan.
        plan: PathBuf,
    },
    /// Make a failing plan smaller; the small one is printed.
    Shrink {
        /// The plan.
        plan: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Line::parse().command {
        Command::Run { files } => run(&files),
        Command::Explore { seeds, minutes, save } => explore_all(seeds, minutes, &save),
        Command::Replay { plan } => replay(&plan),
        Command::Shrink { plan } => make_small(&plan),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("keel-sim: {why}");
            ExitCode::from(2)
        }
    }
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let (from, to) = text.split_once("..").ok_or("name the first and the end: 1..1000")?;
    let number = |text: &str| text.parse().map_err(|_| format!("{text:?} is no number"));
    match (number(from)?, number(to)?) {
        (from, to) if from < to => Ok((from, to)),
        _ => Err(String::from("the first must come before the end")),
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn plan(path: &Path) -> Result<Plan, String> {
    let (plan, _) =
        Plan::parse(&read(path)?).map_err(|unclear| format!("{}: {unclear}", path.display()))?;
    Ok(plan)
}

fn run(files: &[PathBuf]) -> Result<bool, String> {
    let mut well = true;
    for path in files {
        let told = story::tell(&read(path)?).map_err(|why| format!("{}: {why}", path.display()))?;
        match told.wrong {
            None => println!("ok      {}", path.display()),
            Some(wrong) => {
                well = false;
                println!("FAILED  {}: {wrong}", path.display());
            }
        }
    }
    Ok(well)
}

fn explore_all((from, to): (u64, u64), minutes: Option<u64>, save: &Path) -> Result<bool, String> {
    // What fails is reported as a failed seed; the assertion's own words would tear the bar.
    std::panic::set_hook(Box::new(|_| {}));
    let bar = ProgressBar::new(to - from);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {per_sec}, {msg}");
    bar.set_style(style.map_err(|error| error.to_string())?);
    let begun = Instant::now();
    let limit = minutes.map(|minutes| Duration::from_secs(minutes * 60));
    let (mut simulated, mut failed, mut ran) = (Duration::ZERO, 0, 0);
    for seed in from..to {
        if limit.is_some_and(|limit| begun.elapsed() > limit) {
            break;
        }
        let outcome = explore(seed);
        simulated += outcome.lasted;
        ran += 1;
        if let Some(why) = &outcome.failed {
            failed += 1;
            let path = save.join(format!("seed-{seed}.plan"));
            fs::write(&path, kept(&outcome).to_string())
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            bar.suspend(|| println!("seed {seed}: {why}; saved as {}", path.display()));
        }
        bar.set_message(format!("{failed} failed"));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{ran} seeds in {took:.1} s, {failed} failed; {:.0} simulated seconds a second",
        simulated.as_secs_f64() / took
    );
    Ok(failed == 0)
}

fn replay(path: &Path) -> Result<bool, String> {
    let verdict = walk(&plan(path)?);
    for line in &verdict.story {
        println!("{line}");
    }
    println!("{} events, trace {:016x}", verdict.events, verdict.trace);
    Ok(verdict.broken.is_none())
}

fn make_small(path: &Path) -> Result<bool, String> {
    std::panic::set_hook(Box::new(|_| {}));
    let mut tries = 0;
    let small = shrink::shrink(&plan(path)?, |_| tries += 1)?;
    eprintln!("{} actions are left after {tries} tries", small.actions.len());
    print!("{small}");
    Ok(true)
}
