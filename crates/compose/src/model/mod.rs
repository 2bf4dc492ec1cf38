//! A project in its normalised form: every attribute of the Compose specification, in one shape each.
//!
//! Short syntaxes are long ones here, defaults of the specification are filled in, paths are absolute. Fields
//! are in the order in which Compose writes them; that order is part of what `config` prints and of the hash
//! that tells whether a container is up to date ([`crate::hash`]).

mod attach;
mod build;
mod decode;
mod deploy;
mod project;
mod render;
mod resources;
mod service;
mod values;

pub use attach::{
    BindOptions, EnvFile, Extends, FileMount, ImageOptions, Mount, NamedVolumeOptions, Port, ServiceNetwork,
    TmpfsOptions,
};
pub use build::{Build, SshKey, SshList};
pub(crate) use decode::Decode;
pub use deploy::{
    Deploy, DeviceRequest, DiscreteResource, GenericResource, NanoCpus, Placement, PlacementPreference, Resource,
    Resources, RestartPolicy, UpdateConfig,
};
pub use project::{Project, Services};
pub(crate) use render::Render;
pub(crate) use resources::SECRET_CONTENT;
pub use resources::{ConfigObject, FileObject, IpamConfig, IpamPool, Model, Network, Secret, Volume};
pub use service::{
    BlkioConfig, Command, CredentialSpec, Dependency, Develop, DeviceMapping, Healthcheck, Hook, Logging, Provider,
    Service, ServiceModel, ThrottleDevice, Trigger, Ulimit, WeightDevice,
};
pub use values::{
    Bytes, DeviceCount, Duration, Extensions, ExtraHosts, FileMode, HealthTest, Options, Part, Strings, Variables,
};

/// Texts by name.
pub type Mapping = std::collections::BTreeMap<String, String>;

/// A command's words; nothing when the image decides, an empty list when it was emptied on purpose.
pub type ShellCommand = Option<Vec<String>>;

/// Declares a structure of the model: for each attribute its key in files, its field and its type, in the order
/// of writing. `always` marks those that are written even when they are empty, `named "Key"` those whose key in
/// JSON is another one.
macro_rules! model {
    (
        $(#[$doc:meta])*
        pub struct $name:ident {
            $( $(#[$field_doc:meta])* $key:literal $field:ident : $type:ty $([$mode:ident $($json:literal)?])? , )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct $name {
            $( $(#[$field_doc])* pub $field: $type, )*
            /// Attributes that begin with `x-`.
            pub extensions: $crate::model::Extensions,
        }

        impl $crate::model::Decode for $name {
            fn decode(node: &$crate::Node) -> $crate::error::Result<Self> {
                let map = $crate::model::decode::mapping(node)?;
                let mut value = Self::default();
                for (key, node) in map {
                    if key.starts_with("x-") {
                        value.extensions.insert(key.clone(), node.clone());
                        continue;
                    }
                    match key.as_str() {
                        $( $key => value.$field = $crate::model::decode::field(node)?, )*
                        _ => {}
                    }
                }
                Ok(value)
            }
        }

        impl $crate::model::Render for $name {
            fn is_zero(&self) -> bool {
                $( $crate::model::Render::is_zero(&self.$field) && )* self.extensions.is_empty()
            }

            fn render(&self, format: $crate::output::Format) -> $crate::output::Output {
                let mut fields = Vec::new();
                $( model!(@field fields, self.$field, format, $key $(, $mode $($json)?)?); )*
                $crate::model::render::add_extensions(&mut fields, &self.extensions, format);
                $crate::output::Output::Map(fields)
            }
        }
    };
    (@field $fields:ident, $value:expr, $format:ident, $key:literal) => {
        if !$crate::model::Render::is_omitted(&$value, $format) {
            $fields.push(($key.to_owned(), $crate::model::Render::render(&$value, $format)));
        }
    };
    (@field $fields:ident, $value:expr, $format:ident, $key:literal, always) => {
        $fields.push(($key.to_owned(), $crate::model::Render::render(&$value, $format)));
    };
    (@field $fields:ident, $value:expr, $format:ident, $key:literal, named $json:literal) => {
        let key = if $format == $crate::output::Format::Json { $json } else { $key };
        $fields.push((key.to_owned(), $crate::model::Render::render(&$value, $format)));
    };
}
pub(crate) use model;
