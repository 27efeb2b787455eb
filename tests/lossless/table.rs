//! The matrix: what is done to a server, in which condition, on which model
//! and way of accepting, and what its clients are promised in each cell.

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Term,
    Hup,
    Usr1,
    Usr2,
    /// Twice.
    Ttin,
    /// Until one worker is left.
    Ttou,
    /// And HUP afterwards, which brings new workers.
    Winch,
    KillWorker,
    KillMaster,
}

impl Operation {
    pub(crate) const ALL: [Self; 9] = [
        Self::Term,
        Self::Hup,
        Self::Usr1,
        Self::Usr2,
        Self::Ttin,
        Self::Ttou,
        Self::Winch,
        Self::KillWorker,
        Self::KillMaster,
    ];
}

/// What the server is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Kept connections, on which nobody asks for anything just now.
    Idle,
    /// Clients that keep their connections and clients that do not.
    Load,
    /// One client is slow to send its request, one is slow to read the answer.
    Slow,
    /// A worker is stopped (SIGSTOP) in the middle of a request, and clients come.
    Hung,
    /// All workers are busy with slow clients, the queues are full, and clients come.
    Backlog,
}

impl Condition {
    pub(crate) const ALL: [Self; 5] = [
        Self::Idle,
        Self::Load,
        Self::Slow,
        Self::Hung,
        Self::Backlog,
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accept {
    Shared,
    Reuseport,
}

impl Accept {
    pub(crate) const ALL: [Self; 2] = [Self::Shared, Self::Reuseport];

    /// As the configuration names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Reuseport => "reuseport",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    Prefork,
    Event,
    Threads,
    Fork,
}

impl Model {
    pub(crate) const ALL: [Self; 4] = [Self::Prefork, Self::Event, Self::Threads, Self::Fork];

    /// As the configuration names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Prefork => "prefork",
            Self::Event => "event",
            Self::Threads => "threads",
            Self::Fork => "fork",
        }
    }

    /// How many clients a killed process may take along.
    pub(crate) const fn clients_of_one(self, threads: usize, everybody: usize) -> usize {
        match self {
            // A child of the model fork is told by the death of its parent to
            // finish; the parent itself has the one that it is about to hand over.
            Self::Prefork | Self::Fork => 1,
            Self::Threads => threads,
            Self::Event => everybody,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) operation: Operation,
    pub(crate) condition: Condition,
    pub(crate) accept: Accept,
    pub(crate) model: Model,
}

impl std::fmt::Display for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} {:?} {} {}",
            self.operation,
            self.condition,
            self.accept.name(),
            self.model.name()
        )
    }
}

/// What holds in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Every request is served.
    Everything,
    /// Every request is served, or refused from the moment at which the end
    /// was asked for.
    UntilTheEnd,
    /// No more is lost than one process was holding, and nothing is refused.
    AllButOneProcess,
    /// No more is lost than one process was holding, and refused is who comes
    /// after the end was asked for.
    UntilTheEndButOneProcess,
    /// Whoever is being answered is served, for five seconds at most; those in
    /// a queue may be reset, and who comes later is refused.
    OnlyWhatIsBegun,
}

/// The table. There is no cell without sense; one without a promise does not
/// compile.
pub(crate) const fn promise(cell: Cell) -> Promise {
    match (cell.operation, cell.condition) {
        (
            Operation::Hup
            | Operation::Usr1
            | Operation::Usr2
            | Operation::Ttin
            | Operation::Ttou
            | Operation::Winch,
            Condition::Idle | Condition::Load | Condition::Slow | Condition::Backlog,
        ) => Promise::Everything,
        (
            Operation::Hup
            | Operation::Usr1
            | Operation::Usr2
            | Operation::Ttin
            | Operation::Ttou
            | Operation::Winch,
            Condition::Hung,
        ) => Promise::AllButOneProcess,
        (
            Operation::Term,
            Condition::Idle | Condition::Load | Condition::Slow | Condition::Backlog,
        ) => Promise::UntilTheEnd,
        (Operation::Term, Condition::Hung) => Promise::UntilTheEndButOneProcess,
        (Operation::KillWorker, _) => Promise::AllButOneProcess,
        (Operation::KillMaster, _) => Promise::OnlyWhatIsBegun,
    }
}

/// Every cell.
pub(crate) fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for operation in Operation::ALL {
        for condition in Condition::ALL {
            for model in Model::ALL {
                for accept in Accept::ALL {
                    cells.push(Cell {
                        operation,
                        condition,
                        accept,
                        model,
                    });
                }
            }
        }
    }
    cells
}

/// Every operation in every condition, once, on a model and a way of accepting
/// that change from cell to cell: each operation meets every model, and each
/// condition too.
pub(crate) fn selection() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (row, operation) in Operation::ALL.into_iter().enumerate() {
        for (column, condition) in Condition::ALL.into_iter().enumerate() {
            cells.push(Cell {
                operation,
                condition,
                model: Model::ALL[(row + column) % 4],
                accept: Accept::ALL[(row + column / 2) % 2],
            });
        }
    }
    cells
}
