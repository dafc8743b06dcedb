//! Generates the messages of `proto/sluice`, without client or server, and gives documents their JSON form.
//!
//! Documents (`sluice.model.v1` but its envelopes) have protobuf's JSON names (camelCase where the `.proto` says nothing
//! else), refuse unknown fields, leave out what is absent or empty, and never show the fields that are ours alone.

use std::{io::Result, path::Path};

use prost::Message as _;
use prost_build::Config;

/// Document fields that never appear in JSON: they are bookkeeping, not configuration.
const HIDDEN: [&str; 3] = ["level", "sealed_value", "value_hash"];
/// Messages of the model package that are envelopes, not documents: gRPC carries them, files do not.
const ENVELOPES: [&str; 2] = ["Document", "Ref"];

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = proto_files(&root)?;
    let descriptors = protox::compile(&files, [&root]).map_err(std::io::Error::other)?;
    let out = std::env::var_os("OUT_DIR").ok_or_else(|| std::io::Error::other("cargo sets OUT_DIR"))?;
    std::fs::write(Path::new(&out).join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut config = Config::new();
    config.btree_map(["."]).bytes([".sluice.raft.v1", ".sluice.sync.v1"]);
    for file in &descriptors.file {
        if file.package() == "sluice.model.v1" {
            json_form(&mut config, file);
        }
    }
    config.compile_fds(descriptors)
}

fn proto_files(root: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "proto") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn json_form(config: &mut Config, file: &prost_types::FileDescriptorProto) {
    for message in &file.message_type {
        let name = format!(".sluice.model.v1.{}", message.name());
        if ENVELOPES.contains(&message.name()) {
            continue;
        }
        config.message_attribute(&name, "#[derive(serde::Serialize, serde::Deserialize)]");
        config.message_attribute(&name, "#[serde(default, deny_unknown_fields)]");
        for field in &message.field {
            let path = format!("{name}.{}", field.name());
            if HIDDEN.contains(&field.name()) {
                config.field_attribute(path, "#[serde(skip)]");
            } else {
                config.field_attribute(&path, format!("#[serde(rename = \"{}\")]", field.json_name()));
                config.field_attribute(&path, absent_is_left_out(message, field));
            }
        }
    }
}

fn absent_is_left_out(
    message: &prost_types::DescriptorProto,
    field: &prost_types::FieldDescriptorProto,
) -> &'static str {
    use prost_types::field_descriptor_proto::{Label, Type};
    let is_map = message.nested_type.iter().any(|nested| {
        nested.options.as_ref().is_some_and(|options| options.map_entry())
            && field.type_name().ends_with(&format!(".{}", nested.name()))
    });
    match (field.label(), field.r#type()) {
        (Label::Repeated, _) if is_map => "#[serde(skip_serializing_if = \"std::collections::BTreeMap::is_empty\")]",
        (Label::Repeated, _) => "#[serde(skip_serializing_if = \"Vec::is_empty\")]",
        _ if field.proto3_optional() => "#[serde(skip_serializing_if = \"Option::is_none\")]",
        (_, Type::Message) => "#[serde(skip_serializing_if = \"Option::is_none\")]",
        (_, Type::String) => "#[serde(skip_serializing_if = \"String::is_empty\")]",
        _ => "#[serde(skip_serializing_if = \"crate::is_zero\")]",
    }
}
