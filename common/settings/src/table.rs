//! The values of a settings file, as clap takes them.

/// A value that is neither text, number, flag nor list of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WrongShape {
    pub(crate) key: String,
    /// The kind of value.
    pub(crate) found: &'static str,
}

/// The leaves of a table with their dotted keys, each as one or more texts.
pub(crate) fn leaves(table: &toml::Table) -> Result<Vec<(String, Vec<String>)>, WrongShape> {
    let mut found = Vec::new();
    flatten("", table, &mut found)?;
    Ok(found)
}

fn flatten(prefix: &str, table: &toml::Table, found: &mut Vec<(String, Vec<String>)>) -> Result<(), WrongShape> {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        let read =
            |value: &toml::Value| leaf(value).ok_or_else(|| WrongShape { key: key.clone(), found: value.type_str() });
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, found)?,
            toml::Value::Array(items) => {
                let items = items.iter().map(read).collect::<Result<_, _>>()?;
                found.push((key, items));
            }
            value => {
                let value = read(value)?;
                found.push((key, vec![value]));
            }
        }
    }
    Ok(())
}

fn leaf(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => None,
    }
}
