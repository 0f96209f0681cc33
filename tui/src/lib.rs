//! What a terminal shows of builds: state as a fold over events, and views that are pure functions of that state.
