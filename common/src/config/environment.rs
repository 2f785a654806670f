//! Codec: `${NAME}` in a configuration is what the environment says, for containers that learn their address at start.

use super::ConfigError;

/// The text with every `${NAME}` replaced; names are of capital letters, digits and `_`. Lines of comment stay as they are.
///
/// # Errors
/// The environment has no such name, or its value is not one line.
pub(super) fn expand(
    text: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<String, ConfigError> {
    if !text.contains("${") {
        return Ok(text.to_owned());
    }
    let mut expanded = String::with_capacity(text.len());
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let mut rest = line;
        while let Some((before, name, after)) =
            next_name(rest).filter(|_| !line.trim_start().starts_with('#'))
        {
            let complain = |problem: String| ConfigError {
                position: Some((number, column(line, rest, before))),
                ..ConfigError::invalid("", problem, "")
            };
            let value = environment(name)
                .ok_or_else(|| complain(format!("${{{name}}}: the environment has no {name}")))?;
            if value.chars().any(char::is_control) {
                return Err(complain(format!(
                    "${{{name}}}: its value is not one line of text"
                )));
            }
            expanded.push_str(before);
            expanded.push_str(&value);
            rest = after;
        }
        expanded.push_str(rest);
    }
    Ok(expanded)
}

/// What stands before the first `${NAME}`, the name, and what stands behind it.
fn next_name(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let start = from + text.get(from..)?.find("${")?;
        let inside = text.get(start + 2..)?;
        let end = inside
            .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
            .unwrap_or(inside.len());
        let (name, behind) = inside.split_at(end);
        match behind.strip_prefix('}') {
            Some(after) if !name.is_empty() => return Some((text.get(..start)?, name, after)),
            Some(_) | None => from = start + 2,
        }
    }
}

/// Where in the line that is which begins after `before` in its rest.
fn column(line: &str, rest: &str, before: &str) -> u64 {
    let place = line.len() - rest.len() + before.len() + 1;
    u64::try_from(place).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str) -> Option<String> {
        match name {
            "POD_IP" => Some("192.0.2.77".to_owned()),
            "TWO_LINES" => Some("a\nb".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn names_become_what_the_environment_says() {
        let text = "mw: {address: \"${POD_IP}:${POD_IP}\"} # ${POD_IP}\n";
        let expanded = expand(text, with).unwrap();
        assert_eq!(
            expanded,
            "mw: {address: \"192.0.2.77:192.0.2.77\"} # 192.0.2.77\n"
        );
    }

    #[test]
    fn comments_and_what_is_no_name_stay() {
        for text in [
            "  # ${NOBODY}\n",
            "a: ${}",
            "a: $POD_IP {POD_IP} ${pod} ${POD_IP",
            "a: $${",
            "a: ${",
        ] {
            assert_eq!(expand(text, with).unwrap(), text);
        }
        assert_eq!(expand("a: ${${POD_IP}", with).unwrap(), "a: ${192.0.2.77");
    }

    #[test]
    fn a_name_that_is_not_there_is_told_with_its_place() {
        let error = expand("a: 1\nb: \"${POD_IP} ${NOBODY}\"\n", with).unwrap_err();
        assert_eq!(
            error.to_string(),
            "2:15: ${NOBODY}: the environment has no NOBODY"
        );
        let error = expand("a: ${TWO_LINES}", with).unwrap_err();
        assert_eq!(
            error.to_string(),
            "1:4: ${TWO_LINES}: its value is not one line of text"
        );
    }
}
