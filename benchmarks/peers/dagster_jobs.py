"""The workloads as Dagster jobs, in a module that its other processes can import."""

import dagster as dg

from benchmarks import stages

two_processes = dg.multiprocess_executor.configured({"max_concurrent": 2})


@dg.op
def nothing() -> int:
    return stages.nothing()


@dg.op
def nothing_more(value: int) -> int:
    return stages.nothing(value)


@dg.op(config_schema={"count": int}, out=dg.DynamicOut(int))
def numbers(context: dg.OpExecutionContext):  # type: ignore[no-untyped-def]  # Dagster reads it
    for number in stages.numbers(context.op_config["count"]):
        yield dg.DynamicOutput(number, mapping_key=str(number))


@dg.op
def increment(number: int) -> int:
    return stages.increment(number)


@dg.op
def burn_one(number: int) -> int:
    return stages.burn(number)


@dg.op
def together(values: list[int]) -> list[int]:
    return values


@dg.op
def make_array():  # type: ignore[no-untyped-def]  # Dagster would check the type that is said
    return stages.make_array()


@dg.op
def sum_array(array) -> float:  # type: ignore[no-untyped-def]  # as above
    return stages.sum_array(array)


@dg.job(executor_def=dg.in_process_executor)
def noop() -> None:
    nothing()


@dg.job(executor_def=dg.in_process_executor)
def chain() -> None:
    value = nothing()
    for _ in range(19):
        value = nothing_more(value)


@dg.job(executor_def=dg.in_process_executor)
def items() -> None:
    together(numbers().map(increment).collect())


@dg.job(executor_def=dg.in_process_executor)
def array() -> None:
    sum_array(make_array())


@dg.job(executor_def=two_processes)
def burn() -> None:
    together(numbers().map(burn_one).collect())


defs = dg.Definitions(jobs=[noop, chain, items, array, burn])
