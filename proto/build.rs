//! Compiles `schema/` without protoc.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schema = PathBuf::from("schema");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&schema)? {
        let name = entry?.file_name();
        files.push(PathBuf::from(name));
    }
    files.sort();
    println!("cargo:rerun-if-changed=schema");
    let descriptors = protox::compile(&files, [&schema])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .build_transport(false)
        .compile_fds(descriptors)?;
    Ok(())
}
