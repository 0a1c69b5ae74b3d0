"""Episodes that a scripted expert plays."""


def outcomes(env, expert, episodes):
    """Whether each succeeded; seeded by their numbers. Closes the environment."""
    done = []
    for seed in range(episodes):
        env.reset(seed=seed)
        expert.reset()
        over, info = False, {}
        while not over:
            *_, terminated, truncated, info = env.step(expert.action(env.unwrapped.state))
            over = terminated or truncated
        done.append(info["is_success"])
    env.close()
    return done
