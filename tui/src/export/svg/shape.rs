//! Lines, blocks and braille dots as rectangles, in parts of a cell.

/// A character that is drawn rather than written.
pub(super) struct Shape {
    /// Left, top, width and height.
    pub(super) rectangles: Vec<[f64; 4]>,
    /// How much of what is behind it it hides; less than 100 for shades.
    pub(super) percent: u8,
}

/// How thick a light line is, as a part of a cell's width and of its height.
const THIN: (f64, f64) = (0.13, 0.062);

/// The shape of a character that has one.
pub(super) fn of(c: char) -> Option<Shape> {
    let solid = |rectangles| Some(Shape { rectangles, percent: 100 });
    let whole = vec![[0.0, 0.0, 1.0, 1.0]];
    match c {
        '\u{2580}' => solid(vec![[0.0, 0.0, 1.0, 0.5]]),
        '▁'..='█' => {
            let height = eighths(c, '▁');
            solid(vec![[0.0, 1.0 - height, 1.0, height]])
        }
        '▉'..='▏' => solid(vec![[0.0, 0.0, 1.0 - eighths(c, '▉'), 1.0]]),
        '▐' => solid(vec![[0.5, 0.0, 0.5, 1.0]]),
        '░' => Some(Shape { rectangles: whole, percent: 25 }),
        '▒' => Some(Shape { rectangles: whole, percent: 50 }),
        '▓' => Some(Shape { rectangles: whole, percent: 75 }),
        '▔' => solid(vec![[0.0, 0.0, 1.0, 0.125]]),
        '▕' => solid(vec![[0.875, 0.0, 0.125, 1.0]]),
        '■' => solid(vec![[0.0, 0.28, 1.0, 0.44]]),
        '\u{2800}'..='\u{28ff}' => solid(braille(c)),
        _ => solid(lines(c)?),
    }
}

/// How far a character is behind `from`, from an eighth on.
fn eighths(c: char, from: char) -> f64 {
    f64::from(u32::from(c) - u32::from(from) + 1) / 8.0
}

/// Which arms of a cell a light line has: left, right, up, down.
fn arms(c: char) -> Option<[bool; 4]> {
    Some(match c {
        '─' | '━' | '╌' | '┄' => [true, true, false, false],
        '│' | '┃' | '╎' | '┆' => [false, false, true, true],
        '┌' | '╭' => [false, true, false, true],
        '┐' | '╮' => [true, false, false, true],
        '└' | '╰' => [false, true, true, false],
        '┘' | '╯' => [true, false, true, false],
        '├' => [false, true, true, true],
        '┤' => [true, false, true, true],
        '┬' => [true, true, false, true],
        '┴' => [true, true, true, false],
        '┼' => [true, true, true, true],
        '╴' => [true, false, false, false],
        '╵' => [false, false, true, false],
        '╶' => [false, true, false, false],
        '╷' => [false, false, false, true],
        _ => return None,
    })
}

fn lines(c: char) -> Option<Vec<[f64; 4]>> {
    let [left, right, up, down] = arms(c)?;
    let weight = if matches!(c, '━' | '┃') { 2.0 } else { 1.0 };
    let (thick, tall) = (THIN.0 * weight, THIN.1 * weight);
    let (x, y) = ((1.0 - thick) / 2.0, (1.0 - tall) / 2.0);
    let mut rectangles = Vec::new();
    if left || right {
        let from = if left { 0.0 } else { x };
        let to = if right { 1.0 } else { x + thick };
        rectangles.push([from, y, to - from, tall]);
    }
    if up || down {
        let from = if up { 0.0 } else { y };
        let to = if down { 1.0 } else { y + tall };
        rectangles.push([x, from, thick, to - from]);
    }
    Some(rectangles)
}

/// The dots of a braille pattern: two columns of four, numbered as Unicode does.
fn braille(c: char) -> Vec<[f64; 4]> {
    const PLACES: [(u8, u8); 8] = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)];
    let bits = u32::from(c) - 0x2800;
    let dots = (0..).zip(PLACES).filter(|(bit, _)| bits >> bit & 1 == 1);
    dots.map(|(_, (x, y))| [0.14 + 0.5 * f64::from(x), 0.06 + 0.25 * f64::from(y), 0.24, 0.13]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_stay_in_their_cell() {
        for c in ('\u{2500}'..='\u{25ff}').chain('\u{2800}'..='\u{28ff}') {
            for [x, y, width, height] in of(c).map(|shape| shape.rectangles).unwrap_or_default() {
                assert!(x >= 0.0 && y >= 0.0 && x + width <= 1.001 && y + height <= 1.001, "{c}");
                assert!(width > 0.0 && height > 0.0, "{c}");
            }
        }
    }

    #[test]
    fn a_sparkline_rises() {
        let height = |c| of(c).unwrap().rectangles[0][3];
        assert!(height('▁') < height('▄') && height('▄') < height('█'));
        assert!(of('▉').unwrap().rectangles[0][2] > of('▏').unwrap().rectangles[0][2]);
    }
}
