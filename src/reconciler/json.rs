//! JSON as FreeSWITCH writes its lists (cJSON, see `cJSON_Print` and `cJSON_PrintUnformatted`), gone through where it lies.
//!
//! Owns finding what is looked for in a text of megabytes, most of which is not. Leaves out all that such a list hardly ever
//! has: whoever meets that gives the whole text to a reader that knows all of JSON, and that one says what is wrong with it.
//! So nothing is read here that the other would read differently, and a text that is none ends here as unusual.

use wide::u8x16;

/// How deep a list may be: FreeSWITCH's are five.
const DEPTH: u32 = 16;

/// Where in a text we are. Each method reads what stands there and goes behind it; `None`: it is unusual.
#[derive(Debug)]
pub struct Json<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Json<'a> {
    /// Before the first value of a text.
    pub fn of(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// Nothing comes any more.
    pub fn end(mut self) -> Option<()> {
        self.space();
        (self.at == self.text.len()).then_some(())
    }

    /// An array, value by value.
    pub fn array(&mut self, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.enter(b'[')?;
        if !self.leave(b']') {
            loop {
                each(self)?;
                if self.leave(b']') {
                    break;
                }
                self.take(b',')?;
            }
        }
        self.depth -= 1;
        Some(())
    }

    /// An object: `each` is told the name of each field and has to read its value.
    pub fn object(&mut self, mut each: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.enter(b'{')?;
        if !self.leave(b'}') {
            loop {
                let name = self.plain()?;
                self.take(b':')?;
                each(self, name)?;
                if self.leave(b'}') {
                    break;
                }
                self.take(b',')?;
            }
        }
        self.depth -= 1;
        Some(())
    }

    /// A text without anything that is escaped.
    pub fn plain(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let begin = self.at;
        let end = begin + ends(self.rest())?;
        self.at = end;
        self.next(b'"')?;
        self.text.get(begin..end)
    }

    /// A whole number that is not negative.
    pub fn number(&mut self) -> Option<u64> {
        self.space();
        let begin = self.at;
        self.some_number()?;
        self.text.get(begin..self.at)?.parse().ok()
    }

    /// True or false.
    pub fn boolean(&mut self) -> Option<bool> {
        self.space();
        match self.peek()? {
            b't' => self.word("true").map(|()| true),
            b'f' => self.word("false").map(|()| false),
            _ => None,
        }
    }

    /// Whatever it is.
    pub fn skip(&mut self) -> Option<()> {
        self.space();
        match self.peek()? {
            b'"' => self.some_text(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            b'[' => self.array(Self::skip),
            b'{' => self.object(|json, _| json.skip()),
            _ => self.some_number(),
        }
    }

    /// A text, whatever is escaped in it.
    fn some_text(&mut self) -> Option<()> {
        self.next(b'"')?;
        loop {
            self.at += ends(self.rest())?;
            match self.peek()? {
                b'"' => return self.next(b'"'),
                b'\\' => self.at += 1,
                _ => return None,
            }
            match self.peek()? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                b'u' => {
                    let digits = self.rest().get(1..5)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    self.at += 5;
                }
                _ => return None,
            }
        }
    }

    fn some_number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let leads = self.peek()?;
        let digits = self.digits()?;
        if leads == b'0' && digits > 1 {
            return None;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    /// At least one; how many.
    fn digits(&mut self) -> Option<usize> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit());
        let count = digits.count();
        self.at += count;
        (count > 0).then_some(count)
    }

    fn enter(&mut self, bracket: u8) -> Option<()> {
        self.take(bracket)?;
        self.depth += 1;
        (self.depth <= DEPTH).then_some(())
    }

    /// Whether this ends here.
    fn leave(&mut self, bracket: u8) -> bool {
        self.take(bracket).is_some()
    }

    /// This, after any space.
    fn take(&mut self, byte: u8) -> Option<()> {
        self.space();
        self.next(byte)
    }

    fn next(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        let there = self.rest().starts_with(word.as_bytes());
        there.then(|| self.at += word.len())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }
}

/// How far it is to what ends a text or cannot stand in it as it is: a quote, a backslash, a control character.
fn ends(text: &[u8]) -> Option<usize> {
    let (lanes, rest) = text.as_chunks::<16>();
    for (n, lane) in lanes.iter().enumerate() {
        let lane = u8x16::new(*lane);
        let ends = lane.simd_eq(u8x16::splat(b'"'))
            | lane.simd_eq(u8x16::splat(b'\\'))
            | lane.simd_eq(lane.min(u8x16::splat(0x1f)));
        let bits = ends.to_bitmask();
        if bits != 0 {
            return Some(16 * n + bits.trailing_zeros() as usize);
        }
    }
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
    end.map(|at| 16 * lanes.len() + at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde::de::IgnoredAny;
    use serde_json::Value;

    use super::*;

    fn is_read(text: &str) -> bool {
        let mut json = Json::of(text);
        json.skip().and_then(|()| json.end()).is_some()
    }

    #[test]
    fn what_is_looked_for_is_found() {
        let text = r#" { "name" : "a" ,"n":[1,20 , 300],"yes":true,"no":false,"x":{"y":[{}, [], null, "\u00e9\"\\"]} } "#;
        let (mut name, mut numbers, mut yes, mut no) = (None, Vec::new(), None, None);
        let mut json = Json::of(text);
        json.object(|json, field| {
            match field {
                "name" => name = Some(json.plain()?),
                "n" => json.array(|json| {
                    numbers.push(json.number()?);
                    Some(())
                })?,
                "yes" => yes = Some(json.boolean()?),
                "no" => no = Some(json.boolean()?),
                _ => json.skip()?,
            }
            Some(())
        })
        .unwrap();
        json.end().unwrap();
        assert_eq!(name, Some("a"));
        assert_eq!(numbers, [1, 20, 300]);
        assert_eq!((yes, no), (Some(true), Some(false)));
    }

    #[test]
    fn a_text_ends_wherever_a_window_ends() {
        for length in 0..50 {
            for (end, plain) in [("\"", true), ("\\n\"", false), ("\n\"", false)] {
                for behind in ["", "]", "0123456789abcdef"] {
                    let inside = "é".repeat(length % 3) + &"x".repeat(length);
                    let text = format!("\"{inside}{end}{behind}");
                    let read = Json::of(&text).plain();
                    assert_eq!(read, plain.then_some(inside.as_str()), "{text}");
                }
            }
        }
        assert_eq!(Json::of("\"xxxxxxxxxxxxxxxxxxxxxxxx").plain(), None);
    }

    #[test]
    fn what_is_deeper_than_any_list_is_unusual() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(is_read(&nested(16)));
        assert!(!is_read(&nested(17)));
        assert!(!is_read(&nested(100_000)));
        assert!(is_read(&format!("[{}]", vec![nested(15); 30].join(","))));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-z\"\\\\\u{1}-\u{20}é]{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map("[a-z_]{0,20}", inner, 0..5).prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        /// All that serde_json writes, in both forms, but for names with something escaped in them.
        #[test]
        fn any_value_is_gone_through(value in any_json()) {
            prop_assert!(is_read(&value.to_string()));
            prop_assert!(is_read(&serde_json::to_string_pretty(&value).unwrap()));
        }

        /// What is read here is JSON, also where a text was changed or cut.
        #[test]
        fn what_is_no_json_is_unusual(
            value in any_json(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), "[]\\[{}\",:0-9eE.+\\-\\\\utrfnl\n é]{0,2}"), 0..4),
        ) {
            let mut text: Vec<char> = value.to_string().chars().collect();
            for (at, by) in changes {
                if !text.is_empty() {
                    let at = at.index(text.len());
                    text.splice(at..=at, by.chars());
                }
            }
            let text = String::from_iter(text);
            if is_read(&text) {
                prop_assert!(serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{}", text);
            }
        }

        /// A number is the one that it is, or none.
        #[test]
        fn numbers_are_what_they_are(text in "-?[0-9]{1,21}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?") {
            let read = Json::of(&text).number();
            let known = serde_json::from_str::<u64>(&text).ok();
            prop_assert!(read.is_none() || read == known, "{}: {:?}", text, read);
            if known.is_some() {
                prop_assert_eq!(read, known);
            }
        }
    }
}
