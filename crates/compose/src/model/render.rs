//! From the model to what is written: YAML and JSON differ in what is left out.

use std::collections::BTreeMap;

use super::Extensions;
use crate::output::{Format, Output};

/// What can be written.
pub(crate) trait Render {
    /// Whether it says nothing.
    fn is_zero(&self) -> bool;

    /// Whether it is left out where it stands as an attribute.
    fn is_omitted(&self, format: Format) -> bool {
        let _ = format;
        self.is_zero()
    }

    /// What to write.
    fn render(&self, format: Format) -> Output;
}

/// Adds the attributes that begin with `x-`: JSON has none.
pub(crate) fn add_extensions(fields: &mut Vec<(String, Output)>, extensions: &Extensions, format: Format) {
    if format == Format::Json {
        return;
    }
    let mut extra: Vec<_> = extensions
        .iter()
        .map(|(key, node)| (key.clone(), Output::of(node, format)))
        .collect();
    crate::output::sort(&mut extra, format);
    fields.extend(extra);
}

impl Render for String {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn render(&self, _: Format) -> Output {
        Output::Text(self.clone())
    }
}

impl Render for bool {
    fn is_zero(&self) -> bool {
        !*self
    }

    fn render(&self, _: Format) -> Output {
        Output::Bool(*self)
    }
}

macro_rules! integers {
    ($($type:ty),*) => { $(
        impl Render for $type {
            fn is_zero(&self) -> bool {
                *self == 0
            }

            fn render(&self, _: Format) -> Output {
                Output::Int(i128::from(*self))
            }
        }
    )* };
}

integers!(i64, u64, u32, u16);

impl Render for f32 {
    fn is_zero(&self) -> bool {
        *self == 0.0
    }

    fn render(&self, _: Format) -> Output {
        Output::Float32(*self)
    }
}

impl<T: Render> Render for Option<T> {
    fn is_zero(&self) -> bool {
        self.is_none()
    }

    fn render(&self, format: Format) -> Output {
        self.as_ref().map_or(Output::Null, |value| value.render(format))
    }
}

impl<T: Render> Render for Vec<T> {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn render(&self, format: Format) -> Output {
        Output::List(self.iter().map(|value| value.render(format)).collect())
    }
}

impl<T: Render> Render for BTreeMap<String, T> {
    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn render(&self, format: Format) -> Output {
        let mut fields: Vec<_> = self
            .iter()
            .map(|(key, value)| (key.clone(), value.render(format)))
            .collect();
        crate::output::sort(&mut fields, format);
        Output::Map(fields)
    }
}
