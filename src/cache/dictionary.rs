//! Structured fields (RFC 9651) as far as caching reads them: dictionaries, and lists of strings.

/// A member's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// The name alone, or `?1`.
    True,
    /// A whole number.
    Integer(i64),
    /// A string or a token.
    Text(String),
    /// Well formed, and nothing that a directive of caching is.
    Other,
}

/// The members of a dictionary; the last of a name counts. `None`: it is none.
pub(super) fn parse(text: &str) -> Option<Vec<(String, Item)>> {
    let mut reader = Reader(text.trim_matches(' '));
    let mut members: Vec<(String, Item)> = Vec::new();
    while !reader.0.is_empty() {
        let name = reader.key()?;
        let item = if reader.eat('=') {
            reader.member()?
        } else {
            Item::True
        };
        reader.parameters()?;
        members.retain(|(known, _)| *known != name);
        members.push((name, item));
        if !reader.next_member()? {
            break;
        }
    }
    Some(members)
}

/// The strings of a list (RFC 9875 section 2). `None`: it is no list, or has something else in it.
pub(super) fn strings(text: &str) -> Option<Vec<String>> {
    let mut reader = Reader(text.trim_matches(' '));
    let mut strings = Vec::new();
    while !reader.0.is_empty() {
        if !reader.0.starts_with('"') {
            return None;
        }
        strings.push(reader.string()?);
        reader.parameters()?;
        if !reader.next_member()? {
            break;
        }
    }
    Some(strings)
}

struct Reader<'t>(&'t str);

impl<'t> Reader<'t> {
    fn eat(&mut self, c: char) -> bool {
        let rest = self.0.strip_prefix(c);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn take_while(&mut self, is: impl Fn(char) -> bool) -> &'t str {
        let end = self.0.find(|c| !is(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn key(&mut self) -> Option<String> {
        let first = self.0.chars().next()?;
        if !(first.is_ascii_lowercase() || first == '*') {
            return None;
        }
        let is = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.*".contains(c);
        Some(self.take_while(is).to_owned())
    }

    /// Whether another member follows. `None`: something else does.
    fn next_member(&mut self) -> Option<bool> {
        self.take_while(|c| c == ' ' || c == '\t');
        if self.0.is_empty() {
            return Some(false);
        }
        if !self.eat(',') {
            return None;
        }
        self.take_while(|c| c == ' ' || c == '\t');
        (!self.0.is_empty()).then_some(true) // a comma at the end is an error
    }

    fn member(&mut self) -> Option<Item> {
        if !self.eat('(') {
            return self.bare();
        }
        loop {
            self.take_while(|c| c == ' ');
            if self.eat(')') {
                return Some(Item::Other);
            }
            self.bare()?;
            self.parameters()?;
            if !self.0.starts_with([' ', ')']) {
                return None;
            }
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.eat(';') {
            self.take_while(|c| c == ' ');
            self.key()?;
            if self.eat('=') {
                self.bare()?;
            }
        }
        Some(())
    }

    fn bare(&mut self) -> Option<Item> {
        match self.0.chars().next()? {
            '"' => self.string().map(Item::Text),
            '?' => {
                self.eat('?');
                match self.eat('1') {
                    true => Some(Item::True),
                    false => self.eat('0').then_some(Item::Other),
                }
            }
            ':' => {
                self.eat(':');
                self.take_while(|c| c.is_ascii_alphanumeric() || "+/=".contains(c));
                self.eat(':').then_some(Item::Other)
            }
            '@' => {
                self.eat('@');
                self.number().map(|_| Item::Other)
            }
            '-' | '0'..='9' => self.number(),
            '*' | 'a'..='z' | 'A'..='Z' => {
                let is = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(c);
                Some(Item::Text(self.take_while(is).to_owned()))
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Item> {
        let negative = self.eat('-');
        let whole = self.take_while(|c| c.is_ascii_digit());
        if whole.is_empty() || whole.len() > 15 {
            return None;
        }
        if self.eat('.') {
            let fraction = self.take_while(|c| c.is_ascii_digit());
            return (whole.len() <= 12 && (1..=3).contains(&fraction.len())).then_some(Item::Other);
        }
        let number: i64 = whole.parse().ok()?;
        Some(Item::Integer(if negative { -number } else { number }))
    }

    fn string(&mut self) -> Option<String> {
        self.eat('"');
        let mut text = String::new();
        let mut characters = self.0.char_indices();
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.0 = self.0.get(at + 1..)?;
                    return Some(text);
                }
                '\\' => text.push(
                    characters
                        .next()
                        .map(|(_, c)| c)
                        .filter(|c| matches!(c, '"' | '\\'))?,
                ),
                ' '..='~' => text.push(c),
                _ => return None,
            }
        }
        None
    }
}
