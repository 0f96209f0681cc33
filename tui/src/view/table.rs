//! A table: columns that give way when it is narrow, a head that can be clicked, a selection that is kept in sight. Only the
//! rows that are shown are formatted.

use std::cell::Cell;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::glyphs::Glyphs;
use super::text::{clip, clip_start, width};
use super::theme::Theme;
use crate::app::screen::{Hits, Target};

/// On which side a column's text stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Side {
    /// On the left; what does not fit is cut at the end.
    #[default]
    Left,
    /// On the right, as numbers do.
    Right,
    /// On the left; what does not fit is cut at the start.
    Tail,
}

/// A column.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Column {
    /// Its head, and what it is called in settings and filters.
    pub name: &'static str,
    /// The cells that it needs.
    pub width: u16,
    /// Its part of what is left over; 0 for one that does not grow.
    pub grows: u16,
    /// On which side its text stands.
    pub side: Side,
    /// The lower, the earlier it gives way to others when there is no room; 255 never does.
    pub weight: u8,
}

/// What of a table is shown. `selected` is a position in the rows.
#[derive(Clone, Debug, Default)]
pub struct TableState {
    /// The selected row.
    pub selected: usize,
    /// The column by which it is sorted.
    pub sort: usize,
    /// Whether the order is turned round.
    pub reverse: bool,
    /// Columns that are not wanted.
    pub hidden: Vec<usize>,
    /// The first row that is shown; follows the selection when the table is drawn.
    offset: Cell<usize>,
    /// How many rows were shown when it was drawn.
    page: Cell<usize>,
}

impl TableState {
    /// With everything shown, sorted by a column.
    pub fn sorted(sort: usize, reverse: bool) -> Self {
        Self { sort, reverse, ..Self::default() }
    }

    /// How many rows were shown when it was drawn; at least one.
    pub fn page(&self) -> usize {
        self.page.get().max(1)
    }

    /// The first row to be shown of `rows` so that the selected one is in sight.
    pub fn scroll(&self, rows: usize, height: usize) -> usize {
        self.page.set(height);
        let most = rows.saturating_sub(height);
        let least = (self.selected + 1).saturating_sub(height);
        let offset = self.offset.get().min(self.selected).max(least).min(most);
        self.offset.set(offset);
        offset
    }
}

/// A table to be drawn.
pub struct Table<'a> {
    /// Its columns.
    pub columns: &'a [Column],
    /// What of it is shown.
    pub state: &'a TableState,
    /// How many rows it has.
    pub rows: usize,
    /// What a row has in a column.
    pub cell: &'a dyn Fn(usize, usize) -> Line<'a>,
    /// What to say where there is no row.
    pub empty: &'a str,
    /// Its colours.
    pub theme: &'a Theme,
    /// Its signs.
    pub glyphs: &'a Glyphs,
}

impl Table<'_> {
    /// Draws it, and says where its rows and heads are.
    pub fn draw(&self, area: Rect, buffer: &mut Buffer, hits: &mut Hits) {
        let area = area.intersection(buffer.area);
        if area.is_empty() {
            return;
        }
        let body_height = usize::from(area.height.saturating_sub(1));
        let offset = self.state.scroll(self.rows, body_height);
        let bar = u16::from(self.rows > body_height && area.width > 20);
        let room = area.width - bar;
        let places = places(self.columns, &self.state.hidden, room);
        self.head(area, &places, buffer, hits);
        if self.rows == 0 && area.height > 1 {
            let text = clip(self.empty, usize::from(area.width), self.glyphs.ellipsis);
            buffer.set_string(area.x, area.y + 1, text, self.theme.dim);
        }
        for (row, y) in (offset..self.rows).zip(area.y + 1..area.bottom()) {
            let line = Rect::new(area.x, y, room, 1);
            for (column, x, wide) in &places {
                let cell = Rect::new(area.x + x, y, *wide, 1);
                put(&(self.cell)(row, *column), cell, self.columns[*column].side, self.glyphs, buffer);
            }
            if row == self.state.selected {
                buffer.set_style(line, self.theme.selected);
            }
            hits.add(line, Target::Row(row));
        }
        if bar == 1 {
            self.scroll_bar(area, offset, body_height, buffer);
        }
    }

    fn head(&self, area: Rect, places: &[(usize, u16, u16)], buffer: &mut Buffer, hits: &mut Hits) {
        for (column, x, wide) in places {
            let Column { name, side, .. } = self.columns[*column];
            let mark = match (self.state.sort == *column, self.state.reverse) {
                (false, _) => "",
                (true, false) => self.glyphs.ascending,
                (true, true) => self.glyphs.descending,
            };
            let cell = Rect::new(area.x + x, area.y, *wide, 1);
            let text = format!("{}{mark}", name.to_uppercase());
            let side = if side == Side::Right { Side::Right } else { Side::Left };
            put(&Line::styled(text, self.theme.accent), cell, side, self.glyphs, buffer);
            hits.add(cell, Target::Column(*column));
        }
    }

    fn scroll_bar(&self, area: Rect, offset: usize, height: usize, buffer: &mut Buffer) {
        scroll_bar(
            Rect { y: area.y + 1, height: area.height - 1, ..area },
            offset,
            height,
            self.rows,
            (self.theme, self.glyphs),
            buffer,
        );
    }
}

/// A scroll bar in the last column of an area, of which `height` rows from `offset` on are shown of `rows`.
pub fn scroll_bar(
    area: Rect,
    offset: usize,
    height: usize,
    rows: usize,
    (theme, glyphs): (&Theme, &Glyphs),
    buffer: &mut Buffer,
) {
    let area = area.intersection(buffer.area);
    if rows <= height || area.is_empty() {
        return;
    }
    let tall = usize::from(area.height);
    let thumb = (tall * height / rows).max(1).min(tall);
    let most = rows - height;
    let at = (tall - thumb) * offset.min(most) / most;
    for (index, y) in (area.y..area.bottom()).enumerate() {
        let inside = (at..at + thumb).contains(&index);
        let (sign, style) = if inside { (glyphs.thumb, theme.accent) } else { (glyphs.track, theme.dim) };
        buffer.set_string(area.right() - 1, y, sign, style);
    }
}

/// Writes a line into one row of cells, cut where it does not fit.
pub fn put(line: &Line<'_>, area: Rect, side: Side, glyphs: &Glyphs, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    if area.is_empty() {
        return;
    }
    let room = usize::from(area.width);
    let wide = line.width();
    if side == Side::Tail && wide > room && line.spans.len() == 1 {
        let text = clip_start(&line.spans[0].content, room, glyphs.ellipsis);
        buffer.set_stringn(area.x, area.y, text, room, line.style.patch(line.spans[0].style));
        return;
    }
    let mut x = area.x;
    if side == Side::Right && wide < room {
        x += u16::try_from(room - wide).unwrap_or(0);
    }
    let mut left = room;
    for Span { content, style } in &line.spans {
        let text = clip(content, left, glyphs.ellipsis);
        let style: Style = line.style.patch(*style);
        let (next, _) = buffer.set_stringn(x, area.y, &text, left, style);
        left = left.saturating_sub(usize::from(next - x));
        x = next;
        if left == 0 || width(&text) < width(content) {
            break;
        }
    }
}

/// Which columns are shown, with the distance from the left and the width of each. One cell lies between two.
pub fn places(columns: &[Column], hidden: &[usize], room: u16) -> Vec<(usize, u16, u16)> {
    let mut shown: Vec<usize> = (0..columns.len()).filter(|column| !hidden.contains(column)).collect();
    let needed = |shown: &[usize]| {
        let gaps = u16::try_from(shown.len().saturating_sub(1)).unwrap_or(u16::MAX);
        shown.iter().fold(gaps, |sum, column| sum.saturating_add(columns[*column].width))
    };
    while needed(&shown) > room
        && let Some((at, _)) = shown
            .iter()
            .enumerate()
            .filter(|(_, column)| columns[**column].weight < u8::MAX)
            .min_by_key(|(at, column)| (columns[**column].weight, usize::MAX - at))
    {
        shown.remove(at);
    }
    let mut left = room.saturating_sub(needed(&shown));
    let mut parts: u16 = shown.iter().map(|column| columns[*column].grows).sum();
    let (mut x, mut places) = (0, Vec::with_capacity(shown.len()));
    for column in shown {
        let Column { width, grows, .. } = columns[column];
        let more = if parts == 0 {
            0
        } else {
            u16::try_from(u32::from(left) * u32::from(grows) / u32::from(parts)).unwrap_or(0)
        };
        left -= more;
        parts = parts.saturating_sub(grows);
        let wide = (width + more).min(room.saturating_sub(x));
        if wide > 0 {
            places.push((column, x, wide));
        }
        x = x.saturating_add(wide).saturating_add(1);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::glyphs::GlyphSet;

    const COLUMNS: [Column; 3] = [
        Column { name: "name", width: 6, grows: 1, side: Side::Left, weight: 255 },
        Column { name: "id", width: 4, grows: 0, side: Side::Left, weight: 1 },
        Column { name: "size", width: 6, grows: 0, side: Side::Right, weight: 2 },
    ];

    fn drawn(columns: u16, rows: u16, state: &TableState, many: usize) -> Vec<String> {
        let (theme, area) = (Theme::default(), Rect::new(0, 0, columns, rows));
        let mut buffer = Buffer::empty(area);
        let cell = |row: usize, column: usize| Line::raw(format!("{row}.{column}"));
        let table = Table {
            columns: &COLUMNS,
            state,
            rows: many,
            cell: &cell,
            empty: "nothing",
            theme: &theme,
            glyphs: GlyphSet::Ascii.glyphs(),
        };
        table.draw(area, &mut buffer, &mut Hits::default());
        let row = |y| (0..columns).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..rows).map(|y| row(y).trim_end().to_owned()).collect()
    }

    #[test]
    fn columns_give_way_by_weight() {
        let state = TableState { sort: 2, reverse: true, ..TableState::default() };
        assert_eq!(drawn(18, 2, &state, 1), ["NAME   ID    SIZEv", "0.0    0.1     0.2"]);
        assert_eq!(drawn(14, 2, &state, 1), ["NAME     SIZEv", "0.0        0.2"]);
        assert_eq!(drawn(6, 2, &state, 0), ["NAME", "nothi~"]);
        assert_eq!(drawn(2, 2, &state, 1), ["N~", "0~"]);
    }

    #[test]
    fn the_selected_row_is_in_sight() {
        let mut state = TableState::default();
        assert_eq!(drawn(8, 3, &state, 9)[1..], ["0.0", "1.0"]);
        state.selected = 5;
        assert_eq!(drawn(8, 3, &state, 9)[1..], ["4.0", "5.0"]);
        state.selected = 4;
        assert_eq!(drawn(8, 3, &state, 9)[1..], ["4.0", "5.0"]);
        assert_eq!(state.page(), 2);
    }

    #[test]
    fn no_size_is_too_small() {
        let state = TableState::default();
        for columns in 0..9 {
            for rows in 0..4 {
                drawn(columns, rows, &state, 3);
            }
        }
    }
}
