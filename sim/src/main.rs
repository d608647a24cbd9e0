//! `keel-sim`: runs scenarios, explores seeds, replays and shrinks what failed.

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use keel_core::mutant::Mutant;
use keel_sim::explore::{explore, kept};
use keel_sim::plan::Level;
use keel_sim::recording::{self, Recording, Teller, Until};
use keel_sim::seen::{Place, Places};
use keel_sim::{Plan, mutants, picture, run_filmed, shrink, story};
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
        /// What runs: `core`, pure cores, which is fast, or `world`, whole servers.
        #[arg(long, default_value = "core", value_parser = Level::named)]
        level: Level,
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
    /// Run a plan and print what happens; or relive what a member's flight recorder kept, and
    /// print how it stands then.
    Replay {
        /// The plan, the recorder's directory, or one of its state files, to begin there.
        what: PathBuf,
        #[command(flatten)]
        look: Look,
    },
    /// Run a plan and draw what happens, as a page for a browser: members, terms, messages, faults
    /// and what clients asked.
    Trace {
        /// The plan.
        plan: PathBuf,
        /// As what: a page, named as the plan where it has no name of its own.
        #[arg(long, value_name = "PAGE", num_args = 0..=1, required = true)]
        html: Option<Option<PathBuf>>,
    },
    /// Make planted mistakes, one after the other, until a rule breaks.
    Mutants {
        /// Only these, by name.
        #[arg(long)]
        only: Vec<String>,
        /// For how many minutes each is hunted.
        #[arg(long, default_value_t = 2)]
        minutes: u64,
        /// Only those that a few seeds find.
        #[arg(long)]
        fast: bool,
    },
    /// Make a failing plan smaller; the small one is printed.
    Shrink {
        /// The plan.
        plan: PathBuf,
    },
}

/// Where to stop in a recording, and what to print of it.
#[derive(clap::Args, Default, PartialEq)]
struct Look {
    /// Stop at the first step after which the applied index is this or more.
    #[arg(long, value_name = "INDEX")]
    until_index: Option<u64>,
    /// Stop at the first step after which the store's revision is this or more.
    #[arg(long, value_name = "REVISION")]
    until_revision: Option<i64>,
    /// Take no input that came later: a date as in the log, or seconds of the member's clock.
    #[arg(long, value_name = "TIME")]
    until_time: Option<String>,
    /// Print this key's newest version, too.
    #[arg(long)]
    key: Vec<String>,
    /// Print every input and output on the way.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let done = match Line::parse().command {
        Command::Run { files } => run(&files),
        Command::Explore { level, seeds, minutes, save } => {
            explore_all(level, seeds, minutes, &save)
        }
        Command::Replay { what, look } if is_recording(&what) => relive(&what, &look),
        Command::Replay { what: plan, look } if look == Look::default() => replay(&plan),
        Command::Replay { .. } => Err(String::from("only a recording can be stopped or looked at")),
        Command::Trace { plan, html } => {
            let page = html.flatten().unwrap_or_else(|| plan.with_extension("html"));
            trace(&plan, &page)
        }
        Command::Mutants { only, minutes, fast } => hunt_all(&only, minutes, fast),
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

fn explore_all(
    level: Level,
    (from, to): (u64, u64),
    minutes: Option<u64>,
    save: &Path,
) -> Result<bool, String> {
    // What fails is reported as a failed seed; the assertion's own words would tear the bar.
    std::panic::set_hook(Box::new(|_| {}));
    let bar = ProgressBar::new(to - from);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {per_sec}, {msg}");
    bar.set_style(style.map_err(|error| error.to_string())?);
    let begun = Instant::now();
    let limit = minutes.map(|minutes| Duration::from_secs(minutes * 60));
    let (mut simulated, mut failed, mut ran) = (Duration::ZERO, 0, 0);
    let mut places = Places::default();
    for seed in from..to {
        if limit.is_some_and(|limit| begun.elapsed() > limit) {
            break;
        }
        let outcome = explore(level, seed);
        simulated += outcome.lasted;
        places.add(&outcome.places);
        ran += 1;
        if let Some(why) = &outcome.failed {
            failed += 1;
            let path = save.join(format!("seed-{seed}.plan"));
            fs::write(&path, kept(level, &outcome).to_string())
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
    let seen = Place::ALL.map(|place| format!("{place} {}", places.times(place)));
    println!("seen: {}", seen.join(", "));
    Ok(failed == 0)
}

fn replay(path: &Path) -> Result<bool, String> {
    let verdict = keel_sim::run(&plan(path)?);
    for line in &verdict.story {
        println!("{line}");
    }
    println!("{} events, trace {:016x}", verdict.events, verdict.trace);
    Ok(verdict.broken.is_none())
}

fn trace(path: &Path, page: &Path) -> Result<bool, String> {
    let plan = plan(path)?;
    let (verdict, timeline) = run_filmed(&plan);
    fs::write(page, picture::html(&plan, &verdict, &timeline))
        .map_err(|error| format!("cannot write {}: {error}", page.display()))?;
    let ending = verdict.story.last().map_or("", String::as_str);
    println!("{ending}; open {} in a browser", page.display());
    Ok(true)
}

fn hunt_all(only: &[String], minutes: u64, fast: bool) -> Result<bool, String> {
    std::panic::set_hook(Box::new(|_| {}));
    let chosen = mutants::choose(only, fast)?;
    let limit = Duration::from_secs(minutes * 60);
    let (mut caught, mut sound) = (0, 0);
    for mutant in &chosen {
        if let Some(why) = mutants::equivalent(*mutant) {
            println!("{:22} is none: {why}", format!("{mutant:?}"));
            sound += 1;
            continue;
        }
        let begun = Instant::now();
        let hunt = mutants::hunt(*mutant, (1..).take_while(|_| begun.elapsed() < limit));
        caught += usize::from(hunt.caught.is_some());
        println!("{hunt} {:7.1} s", begun.elapsed().as_secs_f64());
    }
    let wanted = chosen.len() - sound;
    println!("{caught} of {wanted} caught, {sound} are none");
    if only.is_empty() {
        for mutant in Mutant::ALL {
            if let Some(lacks) = mutants::awaits(*mutant) {
                println!("{:22} is not hunted, for want of {lacks}", format!("{mutant:?}"));
            }
        }
    }
    Ok(caught == wanted)
}

fn is_recording(path: &Path) -> bool {
    path.is_dir() || path.extension().is_some_and(|kind| kind == "state")
}

fn relive(path: &Path, look: &Look) -> Result<bool, String> {
    let recording = Recording::open(path)?;
    let until = Until {
        index: look.until_index,
        revision: look.until_revision,
        time: look.until_time.as_deref().map(|text| recording.moment(text)).transpose()?,
    };
    let mut teller = Teller::default();
    let life = if look.trace {
        recording::relive(&recording, until, &mut teller)?
    } else {
        recording::relive(&recording, until, &mut ())?
    };
    print!("{}", recording::told(&life));
    if let Some(replay) = &life.replay {
        print!("{}", recording::stand(&life, replay));
        for key in &look.key {
            println!("{}", recording::key(replay, key));
        }
    }
    Ok(life.is_true())
}

fn make_small(path: &Path) -> Result<bool, String> {
    std::panic::set_hook(Box::new(|_| {}));
    let mut tries = 0;
    let small = shrink::shrink(&plan(path)?, |_| tries += 1)?;
    eprintln!("{} actions are left after {tries} tries", small.actions.len());
    print!("{small}");
    Ok(true)
}
