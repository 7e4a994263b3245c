from typing import Literal

NodeState = Literal["connecting", "down", "up"]

NODE_STATE_VALUES: set[NodeState] = {
    "connecting",
    "down",
    "up",
}


def check_node_state(value: str) -> NodeState:
    if value in NODE_STATE_VALUES:
        return value
    raise TypeError(
        f"Unexpected value {value!r}. Expected one of {NODE_STATE_VALUES!r}"
    )
