"""An environment of one's own: a point in the plane that is pushed towards the origin.

rulesmith discover objective --rule lpo --env environment:point --horizon 1e4 --minutes 1     # in this folder
"""

import jax
import jax.numpy as jnp
import rulesmith

LIMIT = 50


def reset(key, params):
    """Return (observation, state)."""
    place = jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
    return place, (place, jnp.int32(0))


def step(key, state, action, params):
    """Return what happens; never resets. An end of the task and an end of the time are told apart."""
    place, time = state
    place = place + params["push"] * jnp.clip(action, -1.0, 1.0)
    distance = jnp.linalg.norm(place)
    return rulesmith.Step(
        observation=place,
        state=(place, time + 1),
        reward=-distance,
        terminated=distance > 3.0,  # lost: no more reward
        truncated=time + 1 >= LIMIT,  # only the time is up
    )


point = rulesmith.Environment(
    name="point",
    reset=reset,
    step=step,
    params={"push": jnp.float32(0.1)},
    observations=rulesmith.Box((2,)),
    actions=rulesmith.Box((2,), -1.0, 1.0),  # shape, low, high
    max_steps=LIMIT,
)
