//! Lines over two axes, as SVG text. Three kinds of elements do; a crate for
//! plots would bring sixteen packages into the lock file.

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

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 55.0;

/// Told apart by those who see few colours too (Okabe and Ito).
const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c8c8c",
];

impl Plot {
    /// The whole document.
    pub(crate) fn svg(&self) -> String {
        let x = Range::over(&self.x, self.points().map(|(x, _)| x));
        let y = Range::over(&self.y, self.points().map(|(_, y)| y));
        let across = |value| LEFT + x.place(value) * (WIDTH - LEFT - RIGHT);
        let up = |value| HEIGHT - BOTTOM - y.place(value) * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
        );
        text(&mut svg, LEFT, TOP - 16.0, "start", &self.title);
        let bottom = HEIGHT - BOTTOM;
        for value in x.marks() {
            let at = across(value);
            rule(&mut svg, (at, TOP), (at, bottom));
            text(&mut svg, at, bottom + 18.0, "middle", &short(value));
        }
        for value in y.marks() {
            let at = up(value);
            rule(&mut svg, (LEFT, at), (WIDTH - RIGHT, at));
            text(&mut svg, LEFT - 8.0, at + 4.0, "end", &short(value));
        }
        let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
        text(&mut svg, middle, HEIGHT - 14.0, "middle", self.x.label);
        let middle = TOP + (HEIGHT - TOP - BOTTOM) / 2.0;
        // Writing to a string does not fail, here and below.
        let _ = writeln!(
            svg,
            "<g transform=\"translate(18 {middle:.1}) rotate(-90)\">"
        );
        text(&mut svg, 0.0, 0.0, "middle", self.y.label);
        svg.push_str("</g>\n");
        for (number, line) in self.lines.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let points: Vec<(f64, f64)> = line
                .points
                .iter()
                .filter(|(at, value)| x.has(*at) && y.has(*value))
                .map(|&(at, value)| (across(at), up(value)))
                .collect();
            let path: Vec<String> = points
                .iter()
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                path.join(" ")
            );
            for (x, y) in points {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
                );
            }
            #[allow(clippy::cast_precision_loss, reason = "a handful of lines")]
            let row = TOP + 10.0 + 18.0 * number as f64;
            let left = WIDTH - RIGHT + 12.0;
            let _ = writeln!(
                svg,
                "<rect x=\"{left}\" y=\"{:.1}\" width=\"14\" height=\"4\" fill=\"{colour}\"/>",
                row - 6.0
            );
            text(&mut svg, left + 20.0, row, "start", &line.name);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn points(&self) -> impl Iterator<Item = (f64, f64)> {
        self.lines
            .iter()
            .flat_map(|line| line.points.iter().copied())
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
        let (from, to) = match scale {
            _ if least > most => (1.0, 10.0),
            Scale::Linear => (0.0, if most > 0.0 { most * 1.05 } else { 1.0 }),
            Scale::Logarithmic => {
                let from = least.log10().floor();
                (
                    10_f64.powf(from),
                    10_f64.powf(most.log10().ceil().max(from + 1.0)),
                )
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

    /// Where lines cross it: five or so, or each power of ten.
    fn marks(&self) -> Vec<f64> {
        let mut marks = vec![self.from];
        let step = 10_f64.powf((self.to / 5.0).log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|times| times * step)
            .into_iter()
            .find(|step| self.to / step <= 6.0)
            .unwrap_or(step * 10.0);
        let mut value = self.from;
        loop {
            value = match self.scale {
                Scale::Linear => value + step,
                Scale::Logarithmic => value * 10.0,
            };
            // Ten times a tenth need not be one.
            if value > self.to * 1.000_001 {
                return marks;
            }
            marks.push(value);
        }
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, content: &str) {
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>"
    );
}

fn rule(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#dddddd\"/>",
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
