//! Capacity used over time, drawn: a panel for each contender, with what was used above its line
//! of time and the requests that were throttled below it.
//!
//! Colours and weights are legible on a light and on a dark page; the text changes with it.

use std::fmt::Write as _;

use crate::case::Runs;
use crate::kind::Kind;
use crate::measure::{Run, Span};
use crate::scenario::{Possible, Scenario};

/// Seconds in a bucket.
const BUCKET: f64 = 0.5;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 56.0;
/// Of what is used, and of what is throttled.
const USED_HEIGHT: f64 = 112.0;
const THROTTLED_HEIGHT: f64 = 46.0;
const BETWEEN: f64 = 44.0;
const BOTTOM: f64 = 44.0;

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#57606a}.t{font-weight:600;fill:#24292f}\
.u{fill:#2f81f7}.x{fill:#e5484d}.c{stroke:#bf8700;stroke-width:1.5;stroke-dasharray:5 3}\
.a{stroke:#8c959f;stroke-width:1}.g{stroke:#8c959f;stroke-opacity:.25}\
@media(prefers-color-scheme:dark){text{fill:#9198a1}.t{fill:#f0f6fc}}";

/// An SVG of ours beside Flink's strategy; of a run that isn't there, nothing.
pub(crate) fn capacity_used(scenario: &Scenario, runs: &Runs) -> String {
    let panels: Vec<(&str, Vec<Span>)> =
        [(Kind::Ours, "This sink"), (Kind::Flink, "Flink’s strategy")]
            .into_iter()
            .filter_map(|(kind, title)| Some((title, runs.of(kind)?.buckets(BUCKET))))
            .collect();
    let capacity = capacity(scenario, runs);
    let spans = || panels.iter().flat_map(|(_, spans)| spans);
    let scale = Scale {
        seconds: scenario.seconds,
        capacity,
        units: nice(spans().map(units).fold(capacity, f64::max)),
        throttled: nice(spans().map(throttled).fold(1.0, f64::max)),
    };
    let panel = USED_HEIGHT + THROTTLED_HEIGHT + BETWEEN;
    let height = TOP + panel * panels.len() as f64 - BETWEEN + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\
         <title>Write capacity used and requests throttled over time</title><style>{STYLE}</style>\n"
    );
    legend(&mut svg, capacity);
    for (place, (title, spans)) in panels.iter().enumerate() {
        scale.panel(&mut svg, TOP + panel * place as f64, title, spans);
    }
    let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    let _ = write!(
        svg,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">seconds</text>\n</svg>\n",
        height - 8.0
    );
    svg
}

/// What the table was granted in a second, by the longest run.
fn capacity(scenario: &Scenario, runs: &Runs) -> f64 {
    match &scenario.possible {
        Possible::Units(rate) => rate(0.0),
        Possible::Granted => {
            let whole = runs.0.iter().map(|run: &Run| run.span(0, 0.0, run.ended));
            whole
                .map(|span| (span.granted / (span.until - span.from) / 10.0).round() * 10.0)
                .fold(0.0, f64::max)
        }
    }
}

fn legend(svg: &mut String, capacity: f64) {
    let mut x = LEFT;
    let mut key = |mark: String, text: &str, width: f64| {
        let _ = write!(
            svg,
            "<g transform=\"translate({x} 22)\">{mark}<text x=\"20\" y=\"4\">{text}</text></g>"
        );
        x += width;
    };
    let square = |class: &str| format!("<path class=\"{class}\" d=\"M2-6h12v12h-12z\"/>");
    key(square("u"), "write units used a second", 204.0);
    let line = "<path class=\"c\" d=\"M0 0h16\"/>".to_owned();
    key(line, &format!("capacity, {capacity:.0} units"), 184.0);
    key(square("x"), "requests throttled a second", 190.0);
    svg.push('\n');
}

struct Scale {
    seconds: f64,
    capacity: f64,
    /// The tops of both axes.
    units: f64,
    throttled: f64,
}

impl Scale {
    fn x(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (seconds / self.seconds).min(1.0)
    }

    fn panel(&self, svg: &mut String, top: f64, title: &str, spans: &[Span]) {
        let zero = top + USED_HEIGHT;
        let above = |units: f64| zero - USED_HEIGHT * units / self.units;
        let below = |requests: f64| zero + THROTTLED_HEIGHT * requests / self.throttled;
        let end = self.x(self.seconds);
        let _ = writeln!(
            svg,
            "<text class=\"t\" x=\"{LEFT}\" y=\"{}\">{title}</text>",
            top - 8.0
        );
        for (y, label) in [
            (above(self.units), self.units),
            (above(self.units / 2.0), self.units / 2.0),
            (zero, 0.0),
            (below(self.throttled), self.throttled),
        ] {
            let _ = writeln!(
                svg,
                "<path class=\"g\" d=\"M{LEFT} {y:.1}H{end}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label:.0}</text>",
                LEFT - 8.0,
                y + 4.0
            );
        }
        svg.push_str(&self.columns("u", zero, spans, |span| above(units(span))));
        svg.push_str(&self.columns("x", zero, spans, |span| below(throttled(span))));
        let _ = writeln!(
            svg,
            "<path class=\"a\" d=\"M{LEFT} {zero}H{end}\"/><path class=\"c\" d=\"M{LEFT} {:.1}H{end}\"/>",
            above(self.capacity)
        );
        let mut second = 0.0;
        while second <= self.seconds {
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{second:.0}</text>",
                self.x(second),
                below(self.throttled) + 16.0
            );
            second += nice(self.seconds / 6.0);
        }
        svg.push('\n');
    }

    /// One path for all columns of a series, with a gap of a fifth between them.
    fn columns(&self, class: &str, zero: f64, spans: &[Span], y: impl Fn(&Span) -> f64) -> String {
        let mut path = format!("<path class=\"{class}\" d=\"");
        for span in spans {
            let height = y(span) - zero;
            if height.abs() >= 0.05 {
                let (from, until) = (self.x(span.from), self.x(span.until));
                let width = (until - from) * 0.8;
                let _ = write!(
                    path,
                    "M{from:.1} {zero:.1}v{height:.1}h{width:.1}V{zero:.1}"
                );
            }
        }
        path.push_str("\"/>\n");
        path
    }
}

fn units(span: &Span) -> f64 {
    span.consumed / (span.until - span.from)
}

fn throttled(span: &Span) -> f64 {
    span.throttled / (span.until - span.from)
}

/// The next larger number with one digit, or with two where they are small.
fn nice(number: f64) -> f64 {
    let power = 10f64.powf(number.log10().floor());
    [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= number - 1e-9)
        .unwrap_or(10.0 * power)
}
