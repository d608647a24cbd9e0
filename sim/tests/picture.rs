//! The page that `keel-sim trace` draws: all that happened is in it, and nothing else is needed.

use keel_sim::plan::Plan;
use keel_sim::walk::{Fate, Role, Timeline};
use keel_sim::{Verdict, picture, walk, walk_filmed};
use std::fs;
use std::process::Command;

const CUT: &str = include_str!("../scenarios/leader_cut_off.txt");

fn filmed(text: &str) -> (Plan, Verdict, Timeline) {
    let (plan, _) = Plan::parse(text).expect("it is a plan");
    let (verdict, timeline) = walk_filmed(&plan);
    (plan, verdict, timeline)
}

#[test]
fn who_is_filmed_behaves_as_who_is_not() {
    let (plan, verdict, _) = filmed(CUT);
    let plain = walk(&plan);
    assert_eq!((verdict.trace, verdict.events), (plain.trace, plain.events));
    assert_eq!(verdict.story, plain.story);
}

#[test]
fn a_film_shows_terms_messages_and_what_was_asked() {
    let (plan, _, timeline) = filmed(CUT);
    let leads = timeline.stands.iter().filter(|stand| stand.role == Role::Leads);
    let terms: std::collections::BTreeSet<u64> = leads.map(|stand| stand.term).collect();
    assert!(terms.len() >= 2, "the leader that was cut off, and the one behind it: {terms:?}");
    let stands = |at: u64| {
        let mut roles = vec![Role::Down; usize::try_from(plan.knobs.members).expect("it is small")];
        for stand in timeline.stands.iter().filter(|stand| stand.at.0 <= at * 1_000_000_000) {
            roles[stand.member] = stand.role;
        }
        roles
    };
    assert_eq!(stands(5).iter().filter(|role| **role == Role::Leads).count(), 1);
    let fates = |wanted: fn(&Fate) -> bool| {
        timeline.parcels.iter().filter(|sent| wanted(&sent.fate)).count()
    };
    assert!(fates(|fate| *fate == Fate::Cut) > 0);
    assert!(fates(|fate| matches!(fate, Fate::Arrives(_))) > 1000);
    let answered = timeline.operations.iter().filter(|one| one.end.is_some()).count();
    assert!(answered > 100 && timeline.reached.len() >= answered);
}

#[test]
fn a_page_is_one_file_with_all_the_facts_in_it() {
    let why = "# Why: </script> would end it.\n";
    let (plan, verdict, timeline) = filmed(&format!("{why}{CUT}"));
    let page = picture::html(&plan, &verdict, &timeline);
    for reference in ["src=", "href=", "@import", "url("] {
        assert!(!page.contains(reference), "{reference} reaches outside");
    }
    assert_eq!(page.matches("</script>").count(), 1);
    let begin = page.find("const facts = ").expect("there are facts") + "const facts = ".len();
    let end = begin + page[begin..].find(";\n").expect("they end");
    let facts: serde_json::Value = serde_json::from_str(&page[begin..end]).expect("they are JSON");
    let count = |name: &str| facts[name].as_array().map_or(0, Vec::len);
    assert_eq!(count("parcels"), timeline.parcels.len());
    assert_eq!(count("operations"), timeline.operations.len());
    assert_eq!(count("stands"), timeline.stands.len());
    assert_eq!(count("story"), verdict.story.len());
    assert!(facts["why"].as_str().is_some_and(|why| why.contains("</script>")));
}

#[test]
fn the_program_writes_the_page_where_it_is_told() {
    let dir = std::env::temp_dir().join(format!("keel-sim-picture-{}", std::process::id()));
    fs::create_dir_all(&dir).expect("a folder can be made");
    let plan = dir.join("story.plan");
    fs::write(&plan, "at 2s forget n1\nat 2s start n1\n").expect("it can be written");
    let mut program = Command::new(env!("CARGO_BIN_EXE_keel-sim"));
    let output = program.arg("trace").arg(&plan).arg("--html").output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = fs::read_to_string(dir.join("story.html")).expect("it is named as the plan");
    assert!(page.starts_with("<!doctype html>") && page.contains("\"broken\":\""));
    fs::remove_dir_all(&dir).expect("it can be removed");
}
