//! The shapes of messages, from the compiled schema.

use prost::Message as _;
use prost_types::FileDescriptorSet;
use prost_types::field_descriptor_proto::Type;
use std::collections::BTreeMap;

/// Messages, enums and methods.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    /// By full name, with a dot in front.
    pub(crate) messages: BTreeMap<String, Vec<Field>>,
    /// By full name, with a dot in front: values by their names.
    enums: BTreeMap<String, BTreeMap<String, i64>>,
    /// By `Service.Method`.
    pub(crate) methods: BTreeMap<String, Method>,
}

/// A field of a message.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) number: u64,
    pub(crate) name: String,
    /// The full name of its message or enum.
    pub(crate) of: String,
    scalar: Type,
}

/// A method of a service.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    pub(crate) path: String,
    pub(crate) request: String,
    pub(crate) response: String,
    pub(crate) streams: bool,
}

/// What a field holds.
pub(crate) enum Kind<'a> {
    Bytes,
    Bool,
    Signed,
    Unsigned,
    Enum(&'a BTreeMap<String, i64>),
    Message(&'a [Field]),
}

impl Schema {
    /// The schema that the server is built from.
    pub(crate) fn of_etcd() -> Schema {
        let files = FileDescriptorSet::decode(keel_proto::pb::DESCRIPTORS);
        let files = files.expect("the build writes whole descriptors");
        let mut schema = Schema::default();
        for file in &files.file {
            let package = format!(".{}", file.package());
            file.message_type.iter().for_each(|message| schema.message(&package, message));
            file.enum_type.iter().for_each(|values| schema.enumeration(&package, values));
            file.service.iter().for_each(|service| schema.service(file.package(), service));
        }
        schema
    }

    /// The fields of a message.
    pub(crate) fn fields(&self, message: &str) -> Result<&[Field], String> {
        self.messages.get(message).map(Vec::as_slice).ok_or(format!("no message {message}"))
    }

    /// What a field of this kind holds.
    pub(crate) fn kind(&self, field: &Field) -> Kind<'_> {
        match field.scalar {
            Type::Bytes | Type::String => Kind::Bytes,
            Type::Bool => Kind::Bool,
            Type::Int32 | Type::Int64 => Kind::Signed,
            Type::Uint32 | Type::Uint64 => Kind::Unsigned,
            Type::Enum => Kind::Enum(&self.enums[&field.of]),
            Type::Message => Kind::Message(&self.messages[&field.of]),
            other => panic!("etcd's client API has no {other:?}, but {} is one", field.name),
        }
    }

    fn message(&mut self, parent: &str, message: &prost_types::DescriptorProto) {
        let name = format!("{parent}.{}", message.name());
        message.nested_type.iter().for_each(|inner| self.message(&name, inner));
        message.enum_type.iter().for_each(|inner| self.enumeration(&name, inner));
        let field = |field: &prost_types::FieldDescriptorProto| Field {
            number: u64::from(field.number().unsigned_abs()),
            name: String::from(field.name()),
            of: String::from(field.type_name()),
            scalar: field.r#type(),
        };
        self.messages.insert(name, message.field.iter().map(field).collect());
    }

    fn enumeration(&mut self, parent: &str, values: &prost_types::EnumDescriptorProto) {
        let value = |value: &prost_types::EnumValueDescriptorProto| {
            (String::from(value.name()), i64::from(value.number()))
        };
        let name = format!("{parent}.{}", values.name());
        self.enums.insert(name, values.value.iter().map(value).collect());
    }

    fn service(&mut self, package: &str, service: &prost_types::ServiceDescriptorProto) {
        for method in &service.method {
            let name = format!("{}.{}", service.name(), method.name());
            let method = Method {
                path: format!("/{package}.{}/{}", service.name(), method.name()),
                request: String::from(method.input_type()),
                response: String::from(method.output_type()),
                streams: method.client_streaming() || method.server_streaming(),
            };
            self.methods.insert(name, method);
        }
    }
}
