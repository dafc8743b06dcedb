//! The `statusCode` of a MOCK's request template, read as leniently as AWS does.
//!
//! AWS takes `{statusCode: 200}`, single quotes and commas too many (observed). Absent: values; only one number is read.

/// Depth to which values are skipped.
const DEPTH_MAX: usize = 64;

/// Returns the `statusCode` of the object in `text`, 100 to 999.
pub(super) fn status_code(text: &str) -> Option<u16> {
    let mut reader = Reader { rest: text.trim() };
    let mut status = None;
    reader.object(0, &mut |key, value| {
        if key == "statusCode" {
            status = value.parse().ok();
        }
    })?;
    status.filter(|status| (100..1000).contains(status))
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Reads an object and shows each key with its plain value, or with `""` for an object or array.
    fn object(&mut self, depth: usize, each: &mut dyn FnMut(&'a str, &'a str)) -> Option<()> {
        self.sign('{')?;
        loop {
            self.commas();
            if self.sign('}').is_some() {
                return Some(());
            }
            let key = self.word(&[':', '}', ','])?;
            self.sign(':')?;
            let value = self.value(depth + 1)?;
            each(key, value);
        }
    }

    fn value(&mut self, depth: usize) -> Option<&'a str> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.space();
        match self.rest.chars().next()? {
            '{' => self.object(depth, &mut |_, _| ()).map(|()| ""),
            '[' => self.array(depth).map(|()| ""),
            _ => self.word(&[',', '}', ']']),
        }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        self.sign('[')?;
        loop {
            self.commas();
            if self.sign(']').is_some() {
                return Some(());
            }
            self.value(depth + 1)?;
        }
    }

    /// A text in quotes of either kind, or one that goes on until one of `ends`.
    fn word(&mut self, ends: &[char]) -> Option<&'a str> {
        self.space();
        let quote = self.rest.chars().next().filter(|first| matches!(first, '"' | '\''));
        let Some(quote) = quote else {
            let end = self.rest.find(ends)?;
            let word = self.rest[..end].trim();
            self.rest = &self.rest[end..];
            return (!word.is_empty()).then_some(word);
        };
        let inner = &self.rest[1..];
        let mut escaped = false;
        let end = inner.find(|letter| {
            let ends = letter == quote && !escaped;
            escaped = letter == '\\' && !escaped;
            ends
        })?;
        self.rest = &inner[end + 1..];
        Some(&inner[..end])
    }

    fn sign(&mut self, sign: char) -> Option<()> {
        self.space();
        self.rest = self.rest.strip_prefix(sign)?;
        Some(())
    }

    fn commas(&mut self) {
        while self.sign(',').is_some() {}
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_and_lax_objects_are_read() {
        for text in [
            r#"{"statusCode": 200}"#,
            "{statusCode: 200}",
            " { 'statusCode' : '200' , } ",
            r#"{"a": {"statusCode": 500, "b": [1, {"c": "}"}]}, "statusCode": 200, "d": "\"}"}"#,
            "{,statusCode:200,,}",
        ] {
            assert_eq!(status_code(text), Some(200), "{text}");
        }
    }

    #[test]
    fn anything_else_has_no_status() {
        let deep = format!("{{a:{}", "[".repeat(500));
        for text in
            ["", "200", "[]", "{", "{}", "{statusCode}", "{statusCode:}", "{statusCode: 20}", "{statusCode: 200", &deep]
        {
            assert_eq!(status_code(text), None, "{text}");
        }
    }
}
