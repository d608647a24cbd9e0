//! What is in a binary: reads `cargo metadata` and prints a CycloneDX bill of materials of one
//! package and all that it is built from. Equal sources give equal bytes: no date, no serial number.
//!
//! `cargo metadata --locked --format-version 1 | keel-sbom keel-cli`

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
        eprintln!("keel-sbom: name the package whose parts are to be listed");
        return ExitCode::FAILURE;
    };
    let metadata = match serde_json::from_reader(std::io::stdin().lock()) {
        Ok(metadata) => metadata,
        Err(error) => {
            eprintln!("keel-sbom: standard input is not the output of `cargo metadata`: {error}");
            return ExitCode::FAILURE;
        }
    };
    let Some(bill) = bill(&metadata, &name) else {
        eprintln!("keel-sbom: {name} is not a package of this workspace");
        return ExitCode::FAILURE;
    };
    println!("{bill:#}");
    ExitCode::SUCCESS
}

/// The bill of the package called `name`.
fn bill(metadata: &Value, name: &str) -> Option<Value> {
    let packages: BTreeMap<&str, &Value> =
        list(&metadata["packages"]).filter_map(|one| Some((one["id"].as_str()?, one))).collect();
    let nodes: BTreeMap<&str, &Value> = list(&metadata["resolve"]["nodes"])
        .filter_map(|one| Some((one["id"].as_str()?, one)))
        .collect();
    let (root, package) = packages.iter().find(|(_, one)| one["name"] == name)?;
    let mut reached = BTreeSet::new();
    let mut ahead = vec![*root];
    while let Some(id) = ahead.pop() {
        if reached.insert(id) {
            ahead.extend(nodes.get(id).into_iter().flat_map(|node| shipped(node)));
        }
    }
    let parts = reached.iter().filter(|id| *id != root).filter_map(|id| packages.get(id));
    Some(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": component(package, "application") },
        "components": parts.map(|one| component(one, "library")).collect::<Vec<_>>(),
    }))
}

/// What a package is built from: tests' dependencies are in no binary.
fn shipped(node: &Value) -> impl Iterator<Item = &str> {
    let ships = |one: &&Value| list(&one["dep_kinds"]).any(|kind| kind["kind"] != "dev");
    list(&node["deps"]).filter(ships).filter_map(|one| one["pkg"].as_str())
}

fn component(package: &Value, kind: &str) -> Value {
    let (name, version) = (&package["name"], &package["version"]);
    let url = format!(
        "pkg:cargo/{}@{}",
        name.as_str().unwrap_or_default(),
        version.as_str().unwrap_or_default()
    );
    let mut component = json!({ "type": kind, "name": name, "version": version, "purl": url });
    if let Some(license) = package["license"].as_str() {
        component["licenses"] = json!([{ "expression": license.replace('/', " OR ") }]);
    }
    component
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
