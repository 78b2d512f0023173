//! Bodies, written with a note of what they hold.

use super::*;

/// Writes a body, and notes what it holds.
pub(super) struct Writer<'a> {
    pub(super) plan: Plan<'a>,
    pub(super) text: String,
    /// The end of each member that can be read.
    pub(super) members: Vec<(usize, Meaning)>,
    /// Set once nothing that follows can be read.
    pub(super) broken: bool,
}

impl Writer<'_> {
    pub(super) fn body(&mut self) {
        match self.plan.byte() % 24 {
            22 => {
                self.broken = true;
                let odd = [
                    "",
                    "null",
                    "[]",
                    "<html>s3cr3t</html>",
                    "\"s3cr3t\"",
                    "[",
                    "\0",
                ];
                self.text.push_str(self.plan.pick(&odd));
            }
            23 => {
                // In a list, which is no object.
                self.broken = true;
                self.text.push('[');
                self.object();
                self.text.push(']');
            }
            _ => {
                self.space();
                self.object();
            }
        }
    }

    fn object(&mut self) {
        self.text.push('{');
        self.space();
        let members = self.plan.byte() % 11;
        for n in 0..members {
            if n > 0 {
                self.text.push(',');
                self.space();
            }
            if self.plan.once_in(40) {
                self.broken = true;
                self.text.push_str(self.plan.pick(&BREAKS));
            }
            let meaning = self.member();
            if !self.broken {
                self.members.push((self.text.len(), meaning));
            }
            self.space();
        }
        self.text.push('}');
    }

    fn space(&mut self) {
        self.text.push_str(self.plan.pick(&SPACES));
    }

    fn member(&mut self) -> Meaning {
        match self.plan.byte() % 12 {
            0..=2 => {
                self.name("__type");
                self.code(Meaning::Type, Meaning::BareType)
            }
            3 => {
                let name = self.plan.pick(&["code", "Code"]);
                self.name(name);
                self.code(Meaning::Code, Meaning::Other)
            }
            4..=6 => {
                let name = self
                    .plan
                    .pick(&["message", "Message", "message", "MESSAGE"]);
                self.name(name);
                let meaning = self.message();
                if name == "MESSAGE" {
                    Meaning::Other
                } else {
                    meaning
                }
            }
            7 => self.throttling_reasons(),
            8 | 9 => self.cancellation_reasons(),
            10 => {
                self.name("Item");
                self.junk();
                Meaning::Other
            }
            _ => {
                let name = self.plan.pick(&OTHER_NAMES);
                self.name(name);
                if name == "UnprocessedItems" && self.plan.once_in(2) {
                    self.text.push_str("{}");
                } else if self.plan.once_in(16) {
                    let depth = 300;
                    self.text.push_str(&"[".repeat(depth));
                    self.text.push_str(&"]".repeat(depth));
                } else {
                    self.junk();
                }
                Meaning::Answer(name)
            }
        }
    }

    /// The name of a member, at times with an escape.
    fn name(&mut self, name: &str) {
        self.string(name);
        self.space();
        self.text.push(':');
        self.space();
    }

    fn code(&mut self, readable: fn(usize) -> Meaning, unreadable: Meaning) -> Meaning {
        match self.plan.byte() % 6 {
            4 => {
                self.junk();
                unreadable
            }
            5 => {
                let text = self.plan.pick(&UNREADABLE);
                self.string(text);
                unreadable
            }
            _ => {
                let (text, place) = code_text(&mut self.plan);
                self.string(&text);
                readable(place)
            }
        }
    }

    fn message(&mut self) -> Meaning {
        if self.plan.once_in(3) {
            self.junk();
            return Meaning::Other;
        }
        let (text, reasons) = self.plan.pick(&MESSAGES);
        self.string(text);
        Meaning::Message(reasons)
    }

    fn throttling_reasons(&mut self) -> Meaning {
        let name = self.plan.pick(&["ThrottlingReasons", "throttlingReasons"]);
        self.name(name);
        if self.plan.once_in(4) {
            self.junk();
            return Meaning::Other;
        }
        let mut readable = 0;
        self.list(|writer| {
            if writer.plan.once_in(2) {
                writer.junk();
                return;
            }
            readable += 1;
            writer.text.push('{');
            if writer.plan.once_in(3) {
                writer.name("resource");
                writer.junk();
                writer.text.push(',');
            }
            let name = writer.plan.pick(&["reason", "Reason"]);
            writer.name(name);
            writer.string("TableWriteKeyRangeThroughputExceeded");
            writer.text.push('}');
        });
        Meaning::ThrottlingReasons(readable)
    }

    fn cancellation_reasons(&mut self) -> Meaning {
        self.name("CancellationReasons");
        if self.plan.once_in(4) {
            self.junk();
            return Meaning::Other;
        }
        let mut reasons = Vec::new();
        self.list(|writer| {
            let mut reason = "None";
            match writer.plan.byte() % 4 {
                0 => writer.junk(),
                1 => {
                    let odd = writer.plan.pick(&UNREADABLE);
                    writer.reason(|writer| writer.string(odd));
                }
                2 => writer.reason(Self::junk),
                _ => {
                    reason = writer.plan.pick(&REASONS).0;
                    writer.reason(|writer| writer.string(reason));
                }
            }
            reasons.push(reason);
        });
        Meaning::Reasons(reasons)
    }

    /// One reason of a canceled transaction, its code written by `code`.
    fn reason(&mut self, code: impl FnOnce(&mut Self)) {
        self.text.push('{');
        for name in ["Item", "Message"] {
            if self.plan.once_in(3) {
                self.name(name);
                self.junk();
                self.text.push(',');
            }
        }
        self.name("Code");
        code(self);
        self.text.push('}');
    }

    fn list(&mut self, mut element: impl FnMut(&mut Self)) {
        self.text.push('[');
        for n in 0..self.plan.byte() % 4 {
            if n > 0 {
                self.text.push(',');
            }
            self.space();
            element(self);
        }
        self.text.push(']');
    }

    fn junk(&mut self) {
        self.text.push_str(self.plan.pick(&JUNK));
    }

    /// A string, with what has to be escaped escaped, and at times one letter more.
    fn string(&mut self, text: &str) {
        let escaped = self.plan.byte();
        self.text.push('"');
        // The grammar writes lone surrogates as escapes already.
        let escapes = text.contains("\\u");
        for (place, char) in text.chars().enumerate() {
            match char {
                _ if escapes => self.text.push(char),
                '"' | '\\' => self.text.extend(['\\', char]),
                '\t' => self.text.push_str("\\t"),
                _ if escaped < 64 && usize::from(escaped % 16) == place => {
                    self.text.push_str(&format!("\\u{:04x}", u32::from(char)));
                }
                _ => self.text.push(char),
            }
        }
        self.text.push('"');
    }
}
