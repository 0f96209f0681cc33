//! The rows of a table as a screen keeps them: derived from the farm now and then, with a selection that stays on its thing
//! when the order changes.

use super::action::{Move, Tabular};
use crate::view::table::{Column, TableState};

/// Rows that are known by a key.
#[derive(Clone, Debug)]
pub struct List<K> {
    rows: Vec<K>,
    /// What of the table is shown.
    pub table: TableState,
    columns: &'static [Column],
    /// Whether the person has chosen a row; until then the first stays selected.
    chosen: bool,
}

impl<K: Clone + PartialEq> List<K> {
    /// No rows, sorted by a column.
    pub fn new(columns: &'static [Column], sort: usize, reverse: bool) -> Self {
        let table = TableState::sorted(sort, reverse);
        Self { rows: Vec::new(), table, columns, chosen: false }
    }

    /// Its columns.
    pub fn columns(&self) -> &'static [Column] {
        self.columns
    }

    /// Its rows, in order.
    pub fn rows(&self) -> &[K] {
        &self.rows
    }

    /// The key of the selected row.
    pub fn selected(&self) -> Option<&K> {
        self.rows.get(self.table.selected)
    }

    /// Takes the rows anew; the selection stays on its thing where that is still there.
    pub fn set(&mut self, rows: Vec<K>) {
        let selected = if self.chosen { self.selected().cloned() } else { None };
        self.rows = rows;
        let found = selected.and_then(|key| self.rows.iter().position(|row| *row == key));
        let last = self.rows.len().saturating_sub(1);
        let fallback = if self.chosen { self.table.selected.min(last) } else { 0 };
        self.table.selected = found.unwrap_or(fallback);
    }

    /// Selects a row by its key; whether there is one.
    pub fn select(&mut self, key: &K) -> bool {
        let found = self.rows.iter().position(|row| row == key);
        if let Some(at) = found {
            (self.table.selected, self.chosen) = (at, true);
        }
        found.is_some()
    }

    /// Selects a row by its position.
    pub fn select_at(&mut self, at: usize) {
        self.table.selected = at.min(self.rows.len().saturating_sub(1));
        self.chosen = true;
    }

    /// Moves the selection.
    pub fn step(&mut self, step: Move) {
        let (at, page) = (self.table.selected, self.table.page());
        let last = self.rows.len().saturating_sub(1);
        let to = match step {
            Move::Up => at.saturating_sub(1),
            Move::Down => at + 1,
            Move::PageUp => at.saturating_sub(page),
            Move::PageDown => at + page,
            Move::HalfUp => at.saturating_sub(page.div_ceil(2)),
            Move::HalfDown => at + page.div_ceil(2),
            Move::First => 0,
            Move::Last => last,
            Move::Left | Move::Right | Move::Enter => return,
        };
        self.select_at(to);
    }

    /// Changes its order or columns.
    pub fn tabulate(&mut self, tabular: Tabular) {
        let shown = |hidden: &[usize], column: usize| !hidden.contains(&column);
        let (count, state) = (self.columns.len(), &mut self.table);
        match tabular {
            Tabular::Sort(column) if column == state.sort => state.reverse = !state.reverse,
            Tabular::Sort(column) if column < count => (state.sort, state.reverse) = (column, false),
            Tabular::SortNext | Tabular::SortPrevious => {
                let step = if tabular == Tabular::SortNext { 1 } else { count - 1 };
                for _ in 0..count {
                    state.sort = (state.sort.min(count - 1) + step) % count;
                    if shown(&state.hidden, state.sort) {
                        break;
                    }
                }
            }
            Tabular::Reverse => state.reverse = !state.reverse,
            Tabular::Toggle(column) if column < count => {
                match state.hidden.iter().position(|at| *at == column) {
                    Some(at) => {
                        state.hidden.remove(at);
                    }
                    // The last column stays.
                    None if state.hidden.len() + 1 < count => state.hidden.push(column),
                    None => {}
                }
            }
            Tabular::Sort(_) | Tabular::Toggle(_) => {}
        }
    }

    /// Its order and columns as words of settings: `sort=-size hidden=id,who`.
    pub fn setting(&self) -> String {
        let name = |column: &usize| self.columns.get(*column).map_or("", |column| column.name);
        let hidden: Vec<&str> = self.table.hidden.iter().map(name).collect();
        let sign = if self.table.reverse { "-" } else { "" };
        let mut text = format!("sort={sign}{}", name(&self.table.sort));
        if !hidden.is_empty() {
            text.push_str(" hidden=");
            text.push_str(&hidden.join(","));
        }
        text
    }

    /// Takes what [`List::setting`] gave; what is not known is passed over.
    pub fn restore(&mut self, setting: &str) {
        let number = |name: &str| self.columns.iter().position(|column| column.name == name);
        for word in setting.split_whitespace() {
            if let Some(sort) = word.strip_prefix("sort=") {
                let reverse = sort.starts_with('-');
                if let Some(column) = number(sort.trim_start_matches('-')) {
                    (self.table.sort, self.table.reverse) = (column, reverse);
                }
            } else if let Some(hidden) = word.strip_prefix("hidden=") {
                let mut columns: Vec<usize> = hidden.split(',').filter_map(number).collect();
                columns.truncate(self.columns.len().saturating_sub(1));
                self.table.hidden = columns;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::table::Side;

    const COLUMNS: [Column; 2] = [
        Column { name: "a", width: 1, grows: 0, side: Side::Left, weight: 1 },
        Column { name: "b", width: 1, grows: 0, side: Side::Left, weight: 1 },
    ];

    fn list() -> List<u32> {
        let mut list = List::new(&COLUMNS, 0, false);
        list.set(vec![1, 2, 3]);
        list
    }

    #[test]
    fn the_selection_stays_on_its_thing_once_it_was_chosen() {
        let mut list = list();
        list.set(vec![9, 1]);
        assert_eq!(list.selected(), Some(&9));
        list.step(Move::Down);
        list.set(vec![5, 1, 9]);
        assert_eq!(list.selected(), Some(&1));
        list.step(Move::Last);
        list.set(vec![5]);
        assert_eq!(list.selected(), Some(&5));
        list.set(Vec::new());
        list.step(Move::Down);
        assert_eq!(list.selected(), None);
    }

    #[test]
    fn settings_come_back() {
        let mut list = list();
        list.tabulate(Tabular::SortNext);
        list.tabulate(Tabular::Reverse);
        list.tabulate(Tabular::Toggle(0));
        list.tabulate(Tabular::Toggle(1));
        assert_eq!(list.setting(), "sort=-b hidden=a");
        let mut other = self::list();
        other.restore("sort=-b hidden=a,x nonsense");
        assert_eq!(other.setting(), "sort=-b hidden=a");
        other.tabulate(Tabular::Sort(0));
        assert_eq!(other.setting(), "sort=a hidden=a");
    }
}
