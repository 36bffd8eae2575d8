"""PPO in PyTorch on a gymnasium environment, in which the clipped objective is a drift of rulesmith's.

python examples/torch_ppo.py [OBJECTIVE] [UPDATES]
"""

import sys

import gymnasium
import rulesmith
import torch
from torch import nn

WORKERS, STEPS, EPOCHS, MINIBATCHES = 8, 128, 4, 4
GAMMA, LAMBDA = 0.99, 0.95


class Agent(nn.Module):
    """A policy over discrete actions, and a critic."""

    def __init__(self, observations, actions):
        super().__init__()
        self.policy = nn.Sequential(nn.Linear(observations, 64), nn.Tanh(), nn.Linear(64, actions))
        self.critic = nn.Sequential(nn.Linear(observations, 64), nn.Tanh(), nn.Linear(64, 1))

    def forward(self, x):
        return torch.distributions.Categorical(logits=self.policy(x)), self.critic(x).squeeze(-1)


def rollout(envs, agent, x, lengths):
    """Return the tensors of a rollout, each (steps, workers), and the last observations; `lengths` is updated."""
    rows = []
    for _ in range(STEPS):
        with torch.no_grad():
            policy, value = agent(x)
            action = policy.sample()
            log_prob = policy.log_prob(action)
        after, reward, ended, cut, _ = envs.step(action.numpy())
        done = torch.tensor(ended | cut)
        rows.append((x, action, log_prob, value, torch.tensor(reward, dtype=torch.float32), done))
        x = torch.tensor(after, dtype=torch.float32)
        for worker, over in enumerate(done.tolist()):
            lengths[worker][-1] += 1
            if over:
                lengths[worker].append(0)
    return [torch.stack(each) for each in zip(*rows)], x


def advantages(value, reward, done, last):
    """Return generalized advantages, (steps, workers)."""
    found, gain, after = [], torch.zeros_like(last), last
    for v, r, d in zip(value.flip(0), reward.flip(0), done.flip(0)):
        alive = 1.0 - d.float()
        gain = r + GAMMA * alive * after - v + GAMMA * LAMBDA * alive * gain
        found.append(gain)
        after = v
    return torch.stack(found[::-1])


def train(objective="ppo-clip", updates=40, seed=0):
    """Train an agent on CartPole and return the mean length of the first and of the last twenty episodes."""
    torch.manual_seed(seed)
    envs = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("CartPole-v1")] * WORKERS)
    agent = Agent(4, 2)
    drift = rulesmith.load(objective).to_torch()  # the line that would be the clipped loss
    optimizer = torch.optim.Adam(agent.parameters(), lr=1e-3, eps=1e-5)
    x = torch.tensor(envs.reset(seed=seed)[0], dtype=torch.float32)
    lengths = [[0] for _ in range(WORKERS)]
    episodes = []
    for update in range(updates):
        (seen, action, old, value, reward, done), x = rollout(envs, agent, x, lengths)
        with torch.no_grad():
            last = agent(x)[1]
        advantage = advantages(value, reward, done, last)
        target = advantage + value
        flat = [each.flatten(0, 1) for each in (seen, action, old, advantage, target)]
        for _ in range(EPOCHS):
            for rows in torch.randperm(WORKERS * STEPS).chunk(MINIBATCHES):
                s, a, log_old, gain, wanted = (each[rows] for each in flat)
                policy, estimate = agent(s)
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                loss = drift(policy.log_prob(a), log_old, gain, progress=update / updates)
                loss = loss + 0.5 * (estimate - wanted).square().mean() - 0.01 * policy.entropy().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()
        for worker in lengths:
            episodes += worker[:-1]
            del worker[:-1]
    envs.close()
    return sum(episodes[:20]) / 20, sum(episodes[-20:]) / 20


if __name__ == "__main__":
    words = sys.argv[1:]
    first, last = train(words[0] if words else "dpo", int(words[1]) if len(words) > 1 else 40)
    print(f"mean length of the first 20 episodes {first:.0f}, of the last 20 {last:.0f}")
