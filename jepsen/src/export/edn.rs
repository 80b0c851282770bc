//! Extensible Data Notation: as much of it as is written here.

use std::fmt;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Edn {
    Nil,
    Integer(u64),
    /// Without its colon; kebab-case.
    Keyword(&'static str),
    Text(String),
    Vector(Vec<Self>),
    Map(Vec<(Self, Self)>),
}

impl Edn {
    /// Anything that has a text.
    pub(super) fn text(what: impl fmt::Display) -> Self {
        Self::Text(what.to_string())
    }

    /// A vector of what these become.
    pub(super) fn vector<T>(items: impl IntoIterator<Item = T>, each: impl FnMut(T) -> Self) -> Self {
        Self::Vector(items.into_iter().map(each).collect())
    }

    /// A map with keywords as keys.
    pub(super) fn map<const N: usize>(entries: [(&'static str, Self); N]) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (Self::Keyword(key), value)).collect())
    }
}

impl fmt::Display for Edn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Keyword(name) => write!(f, ":{name}"),
            Self::Text(text) => quoted(text, f),
            Self::Vector(items) => {
                f.write_str("[")?;
                separated(items, f, |item, f| write!(f, "{item}"))?;
                f.write_str("]")
            }
            Self::Map(entries) => {
                f.write_str("{")?;
                separated(entries, f, |(key, value), f| write!(f, "{key} {value}"))?;
                f.write_str("}")
            }
        }
    }
}

fn separated<T>(
    items: &[T],
    f: &mut fmt::Formatter<'_>,
    write: impl Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            f.write_str(" ")?;
        }
        write(item, f)?;
    }
    Ok(())
}

fn quoted(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("\"")?;
    for letter in text.chars() {
        match letter {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            other => write!(f, "{other}")?,
        }
    }
    f.write_str("\"")
}
