"""An ordinary training in PyTorch in which one line changes: the optimizer is a rule.

python examples/torch_training.py
"""

import rulesmith
import torch
from sklearn.datasets import load_digits
from torch import nn

torch.manual_seed(0)
images, labels = (torch.tensor(x) for x in load_digits(return_X_y=True))
images = images.float().reshape(-1, 1, 8, 8) / 16

model = nn.Sequential(
    *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Flatten(), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10)),
)
# Instead of torch.optim.AdamW(model.parameters(), lr=1e-3):
optimizer = rulesmith.load("nadamw").to_torch(model.parameters(), lr=1e-2)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=200)

for step in range(200):
    batch = torch.randint(0, 1400, (64,))
    loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 50 == 0:
        print(f"step {step:3d}  loss {loss.item():.3f}")

with torch.no_grad():
    accuracy = (model(images[1400:]).argmax(1) == labels[1400:]).float().mean().item()
print(f"accuracy on images that it was not trained on: {accuracy:.3f}")
assert accuracy > 0.85
