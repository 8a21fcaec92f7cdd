variables {
  cluster_name = "tickloop"
  worker_count = 2
}

run "names_begin_with_the_cluster" {
  command = plan

  assert {
    condition     = join(",", output.workers) == "tickloop-worker-01,tickloop-worker-02"
    error_message = join(", ", output.workers)
  }

  assert {
    condition     = output.control_plane == "tickloop-control-plane" && output.tags.node == "tickloop-node"
    error_message = output.control_plane
  }
}

run "a_third_worker_renames_nobody" {
  command = plan
  variables {
    worker_count = 3
  }

  assert {
    condition     = join(",", slice(output.workers, 0, 2)) == "tickloop-worker-01,tickloop-worker-02"
    error_message = join(", ", output.workers)
  }
}

run "every_name_is_one_that_google_takes" {
  command = plan
  variables {
    cluster_name = "abcdefghijklmnopqrstuvwx"
    worker_count = 50
  }

  assert {
    condition = alltrue([
      for name in concat(output.workers, [output.control_plane, output.network, output.subnet, output.data_disk, output.address], values(output.tags)) :
      can(regex("^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$", name))
    ])
    error_message = "a name is not valid"
  }

  assert {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", output.service_account))
    error_message = output.service_account
  }
}

run "no_workers_are_refused" {
  command = plan
  variables {
    worker_count = 0
  }
  expect_failures = [var.worker_count]
}

run "half_a_worker_is_refused" {
  command = plan
  variables {
    worker_count = 1.5
  }
  expect_failures = [var.worker_count]
}

run "a_name_with_capitals_is_refused" {
  command = plan
  variables {
    cluster_name = "Tickloop"
  }
  expect_failures = [var.cluster_name]
}

run "a_name_that_is_too_long_for_the_service_account_is_refused" {
  command = plan
  variables {
    cluster_name = "abcdefghijklmnopqrstuvwxy"
  }
  expect_failures = [var.cluster_name]
}
