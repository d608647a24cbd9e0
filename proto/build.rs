//! Compiles `schema/` without protoc, twice: ordinary messages with clients, and a server's
//! tree in which a stored version is just its bytes.

use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schema = PathBuf::from("schema");
    println!("cargo:rerun-if-changed=schema");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&schema)? {
        files.push(PathBuf::from(entry?.file_name()));
    }
    files.sort();
    let descriptors = protox::compile(&files, [&schema])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    let tree = |dir: &Path| -> std::io::Result<tonic_prost_build::Builder> {
        std::fs::create_dir_all(dir)?;
        let builder = tonic_prost_build::configure().bytes(".").btree_map(".");
        Ok(builder.build_transport(false).out_dir(dir))
    };
    tree(&out.join("client"))?.build_server(false).compile_fds(descriptors.clone())?;
    tree(&out.join("server"))?
        .build_client(false)
        .codec_path("crate::codec::Codec")
        .extern_path(".mvccpb.KeyValue", "crate::wire::Stored")
        .extern_path(".mvccpb.Event", "crate::wire::Change")
        .compile_fds(descriptors)?;
    Ok(())
}
