//! A run as a page that a person reads in a browser: members and their terms, messages, faults and
//! what clients asked, over time.
//!
//! ```text
//!   walk_filmed(plan) ─► Verdict, Timeline ─► facts (JSON) ─┐
//!                                   page.html, style.css, page.js ─► one file, which needs no other
//! ```

mod facts;
mod words;

use crate::plan::Plan;
use crate::walk::{Timeline, Verdict};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

/// The page.
#[must_use]
pub fn html(plan: &Plan, verdict: &Verdict, timeline: &Timeline) -> String {
    // A "<" might end the script that they stand in.
    let facts = facts::facts(plan, verdict, timeline).to_string().replace('<', "\\u003c");
    let parts = [("/*STYLE*/", STYLE), ("/*FACTS*/null", &facts), ("/*SCRIPT*/", SCRIPT)];
    let (mut page, mut rest) = (String::new(), PAGE);
    for (place, part) in parts {
        let (before, behind) = rest.split_once(place).expect("the page has a place for each part");
        page.push_str(before);
        page.push_str(part);
        rest = behind;
    }
    page + rest
}
