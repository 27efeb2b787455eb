//! Lines over two axes, and dots in rows over one, as SVG text. Five kinds of
//! elements do; a crate for plots would bring sixteen packages into the lock
//! file.

use std::fmt::Write as _;

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From 0 on.
    Linear,
    /// By powers of ten; what is not above 0 has no place on it.
    Logarithmic,
}

#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// What it shows, with the unit.
    pub(crate) label: &'static str,
    pub(crate) scale: Scale,
}

/// A line of points.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
}

/// What is drawn: told apart by [`Plot`] and [`Dots`] alone.
pub(crate) trait Drawing {
    fn title(&self) -> &str;
    /// The whole document.
    fn svg(&self) -> String;
}

/// A row a thing, and in it a dot for each of several: who is left of whom.
#[derive(Clone, Debug)]
pub(crate) struct Dots {
    pub(crate) title: String,
    pub(crate) x: Axis,
    /// Where a rule is drawn from top to bottom: what all are held against.
    pub(crate) mark: f64,
    /// The names of the dots.
    pub(crate) names: Vec<String>,
    /// Each with its name and as many values as there are names.
    pub(crate) rows: Vec<(String, Vec<Option<f64>>)>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 55.0;

/// From one row of dots to the next.
const ROW: f64 = 36.0;

const FAINT: &str = "#dddddd";

/// The first eight are told apart by those who see few colours too (Okabe and
/// Ito); the others are lighter and darker ones of the same.
const COLOURS: [&str; 12] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c8c8c",
    "#004b75", "#8f3f00", "#6bd4b4", "#f0c4dc",
];

impl Drawing for Plot {
    fn title(&self) -> &str {
        &self.title
    }

    fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| line.points.iter());
        let x = Range::over(&self.x, points().map(|&(x, _)| x));
        let y = Range::over(&self.y, points().map(|&(_, y)| y));
        let bottom = HEIGHT - BOTTOM;
        let across = |value| LEFT + x.place(value) * (WIDTH - LEFT - RIGHT);
        let up = |value| bottom - y.place(value) * (bottom - TOP);
        let mut svg = begin(&self.title, HEIGHT);
        for value in x.marks() {
            let at = across(value);
            rule(&mut svg, (at, TOP), (at, bottom), FAINT);
            text(&mut svg, at, bottom + 18.0, "middle", &short(value));
        }
        for value in y.marks() {
            let at = up(value);
            rule(&mut svg, (LEFT, at), (WIDTH - RIGHT, at), FAINT);
            text(&mut svg, LEFT - 8.0, at + 4.0, "end", &short(value));
        }
        let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
        text(&mut svg, middle, HEIGHT - 14.0, "middle", self.x.label);
        let middle = TOP + (bottom - TOP) / 2.0;
        // Writing to a string does not fail, here and below.
        let _ = writeln!(
            svg,
            "<g transform=\"translate(18 {middle:.1}) rotate(-90)\">"
        );
        text(&mut svg, 0.0, 0.0, "middle", self.y.label);
        svg.push_str("</g>\n");
        for (number, line) in self.lines.iter().enumerate() {
            let colour = colour(number);
            let usable = |(at, value): &&(f64, f64)| x.has(*at) && y.has(*value);
            let points = line.points.iter().filter(usable);
            let points: Vec<(f64, f64)> =
                points.map(|&(at, value)| (across(at), up(value))).collect();
            let path: Vec<String> = points
                .iter()
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join(" ")
            );
            for point in points {
                dot(&mut svg, point, 3.0, colour);
            }
        }
        legend(&mut svg, self.lines.iter().map(|line| line.name.as_str()));
        svg.push_str("</svg>\n");
        svg
    }
}

impl Drawing for Dots {
    fn title(&self) -> &str {
        &self.title
    }

    fn svg(&self) -> String {
        let values = self
            .rows
            .iter()
            .flat_map(|(_, values)| values.iter().flatten());
        let x = Range::over(&self.x, values.copied().chain([self.mark]));
        let left = LEFT + 40.0;
        let across = |value| left + x.place(value) * (WIDTH - left - RIGHT);
        #[allow(clippy::cast_precision_loss, reason = "a handful of rows")]
        let row = |number: usize| TOP + 20.0 + ROW * number as f64;
        let bottom = row(self.rows.len()).max(row(self.names.len() / 2));
        let mut svg = begin(&self.title, bottom + BOTTOM);
        for value in x.marks() {
            let at = across(value);
            rule(&mut svg, (at, TOP), (at, bottom), FAINT);
            text(&mut svg, at, bottom + 18.0, "middle", &short(value));
        }
        let at = across(self.mark);
        rule(&mut svg, (at, TOP), (at, bottom), "#000000");
        let middle = left + (WIDTH - left - RIGHT) / 2.0;
        text(&mut svg, middle, bottom + 41.0, "middle", self.x.label);
        for (number, (name, values)) in self.rows.iter().enumerate() {
            let at = row(number);
            rule(&mut svg, (left, at), (WIDTH - RIGHT, at), FAINT);
            text(&mut svg, left - 8.0, at + 4.0, "end", name);
            for (number, value) in values.iter().enumerate() {
                if let Some(value) = value.filter(|&value| x.has(value)) {
                    dot(&mut svg, (across(value), at), 5.0, colour(number));
                }
            }
        }
        legend(&mut svg, self.names.iter().map(String::as_str));
        svg.push_str("</svg>\n");
        svg
    }
}

/// What an axis reaches over.
struct Range {
    scale: Scale,
    from: f64,
    to: f64,
}

impl Range {
    /// From one round number to another, with all the values between.
    fn over(axis: &Axis, values: impl Iterator<Item = f64>) -> Self {
        let scale = axis.scale;
        let usable =
            values.filter(|&value| value.is_finite() && (scale == Scale::Linear || value > 0.0));
        let (least, most) = usable.fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
            (least.min(value), most.max(value))
        });
        if least > most {
            // Nothing to show.
            let (from, to) = (1.0, 10.0);
            return Self { scale, from, to };
        }
        let (from, to) = match scale {
            Scale::Linear => (0.0, if most > 0.0 { most * 1.05 } else { 1.0 }),
            Scale::Logarithmic => {
                let from = least.log10().floor();
                let to = most.log10().ceil().max(from + 1.0);
                (10_f64.powf(from), 10_f64.powf(to))
            }
        };
        Self { scale, from, to }
    }

    fn has(&self, value: f64) -> bool {
        (self.from..=self.to).contains(&value)
    }

    /// From 0 at its beginning to 1 at its end.
    fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => (value - self.from) / (self.to - self.from),
            Scale::Logarithmic => (value / self.from).log10() / (self.to / self.from).log10(),
        }
    }

    /// Where rules cross it: five or so on a linear one; on the other each
    /// power of ten, with 2 and 5 between where there are few.
    fn marks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let unit = 10_f64.powf((self.to / 5.0).log10().floor());
                let steps = [1.0, 2.0, 5.0].map(|times| times * unit);
                let few = |step: &f64| self.to / step <= 6.0;
                let step = steps.into_iter().find(few).unwrap_or(10.0 * unit);
                let marks = (0..7).map(|count| f64::from(count) * step);
                marks.filter(|&mark| self.has(mark)).collect()
            }
            Scale::Logarithmic => {
                let few = self.to / self.from < 1_001.0;
                let within = if few { &[1.0, 2.0, 5.0][..] } else { &[1.0] };
                let decades = (0..20).map(|count| self.from * 10_f64.powi(count));
                let marks = decades.flat_map(|decade| within.iter().map(move |mark| mark * decade));
                // Ten times a tenth need not be one.
                marks.filter(|mark| *mark <= self.to * 1.000_001).collect()
            }
        }
    }
}

fn begin(title: &str, height: f64) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    text(&mut svg, 20.0, TOP - 16.0, "start", title);
    svg
}

/// Who has which colour, right of everything else.
fn legend<'n>(svg: &mut String, names: impl Iterator<Item = &'n str>) {
    let left = WIDTH - RIGHT + 14.0;
    for (number, name) in names.enumerate() {
        #[allow(clippy::cast_precision_loss, reason = "a handful of names")]
        let row = TOP + 10.0 + 18.0 * number as f64;
        dot(svg, (left + 5.0, row - 4.0), 5.0, colour(number));
        text(svg, left + 18.0, row, "start", name);
    }
}

fn colour(number: usize) -> &'static str {
    COLOURS[number % COLOURS.len()]
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>"
    );
}

fn dot(svg: &mut String, (x, y): (f64, f64), radius: f64, colour: &str) {
    let _ = writeln!(
        svg,
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{colour}\"/>"
    );
}

fn rule(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
        from.0, from.1, to.0, to.1
    );
}

/// `10000` as `10k`.
fn short(value: f64) -> String {
    if value >= 1e6 {
        format!("{}M", value / 1e6)
    } else if value >= 1e4 {
        format!("{}k", value / 1e3)
    } else {
        // Steps of a tenth add up to 0.30000000000000004.
        format!("{}", (value * 1e6).round() / 1e6)
    }
}
